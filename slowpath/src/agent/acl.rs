//! Decisions of ACLs that log.

use sluice_fastpath::exchange::Logged;
use sluice_fastpath::io::FramePool;
use sluice_fastpath::tables::{Acl, AclAction, Tables};

use super::Agent;
use super::counters::count;
use crate::acl_log::{self, Judged};
use crate::limit::{Bucket, Rate};

impl<P: FramePool> Agent<P> {
    /// Logs what the workers told; true when there may be more.
    pub(super) fn take_logs(&mut self, tables: &Tables) -> bool {
        let mut more = false;
        for index in 0..self.exchanges.len() {
            let Some(exchange) = self.exchanges.get(index).cloned() else {
                continue;
            };
            let mut left = self.settings.frames_per_step;
            while left > 0
                && let Some(logged) = exchange.next_logged()
            {
                left -= 1;
                self.log(tables, &logged);
            }
            more |= left == 0;
        }
        more
    }

    fn log(&mut self, tables: &Tables, logged: &Logged) {
        let acl = tables
            .switch(logged.switch)
            .filter(|_| tables.generation == logged.generation)
            .and_then(|(_, switch)| switch.acls.as_ref()?.rule(logged.acl));
        let Some((acl, log)) = acl.and_then(|acl| Some((acl, acl.log?))) else {
            return count(&self.counters.stale);
        };
        let per_second = log.meter.unwrap_or(self.settings.acl_logs);
        let rate = Rate {
            per_second,
            burst: per_second,
        };
        let meter = self
            .meters
            .entry((logged.switch, logged.acl))
            .or_insert_with(|| Bucket::new(rate, self.now));
        if !meter.take(self.now) {
            return count(&self.counters.acl_log_limited);
        }
        let line = acl_log::line(
            &Judged {
                name: acl.name.as_deref(),
                verdict: verdict(acl),
                severity: log.severity,
                direction: acl.direction.name(),
            },
            &logged.headers,
        );
        match log.severity {
            "alert" => tracing::error!(target: "acl_log", "{line}"),
            "warning" => tracing::warn!(target: "acl_log", "{line}"),
            "debug" => tracing::debug!(target: "acl_log", "{line}"),
            _ => tracing::info!(target: "acl_log", "{line}"),
        }
        count(&self.counters.acl_logged);
    }
}

/// What OVN calls it.
fn verdict(acl: &Acl) -> &'static str {
    match acl.action {
        AclAction::Allow
        | AclAction::AllowRelated
        | AclAction::AllowStateless
        | AclAction::Pass => "allow",
        AclAction::Drop => "drop",
        AclAction::Reject => "reject",
    }
}
