//! Fragments on the walk: who looks at ports asks here first.

use super::*;
use crate::tables::{Acls, SnatKind};

impl<R: Recorder> Walk<'_, R> {
    /// Somebody looks at ports. The walk of a fragment that has not been told those of its datagram ends here; once it has
    /// been, it walks again.
    pub(super) fn want_ports(&self) -> Step<()> {
        let L3::Ip(ip) = &self.headers.l3 else {
            return Continue(());
        };
        if ip.tells_flow() || self.entered.first.is_some() {
            return Continue(());
        }
        Break(Verdict::Reassemble)
    }

    /// As [`Walk::want_ports`], for rules of a switch.
    pub(super) fn acls_want_ports(&self, acls: &Acls, direction: AclDirection) -> Step<()> {
        let v6 = self.headers.ip().is_some_and(Ip::is_v6);
        if acls.stateful || acls.list(direction).sees_upper_layers(v6) {
            return self.want_ports();
        }
        Continue(())
    }

    /// As [`Walk::want_ports`], where a flood is to leave: each copy is asked about, and none can wait.
    pub(super) fn flood_wants_ports(&self, switch: &Switch) -> Step<()> {
        match switch.acls.as_deref() {
            Some(acls) => self.acls_want_ports(acls, AclDirection::ToLport),
            None => Continue(()),
        }
    }

    /// As [`Walk::want_ports`], for balancers of a switch.
    pub(super) fn balancers_want_ports(&self, switch: &Switch) -> Step<()> {
        match self.headers.ip() {
            Some(ip) if switch.balancers.serve(ip.is_v6()) => self.want_ports(),
            _ => Continue(()),
        }
    }

    /// As [`Walk::want_ports`], of a packet that is about to leave a router by a port: not where all that can become of it is a
    /// stateless translation.
    pub(super) fn router_wants_ports(
        &self,
        router: &Router,
        ip: &Ip,
        in_index: Option<u16>,
        out: u16,
    ) -> Step<()> {
        let v6 = ip.is_v6();
        if !router.nat.keeps_state(v6) && !router.balancers.serve(v6) {
            return Continue(());
        }
        let asks = self.want_ports();
        if asks.is_break()
            && let Some((_, rule)) = router.nat.source_rule(ip.src, ip.dst, in_index, out)
            && rule.kind == SnatKind::Stateless
            && !router.balancers.serve(v6)
        {
            return Continue(());
        }
        asks
    }
}
