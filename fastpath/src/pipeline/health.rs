//! Health checks on the walk: backends answer to an address that is no port's.

use super::*;
use crate::tables::{Monitored, SERVICE_MAC};

impl<R: Recorder> Walk<'_, R> {
    /// What a backend says to who checks it, and its question who that is. ACLs are not asked, as in OVN.
    pub(super) fn check_answered(
        &mut self,
        piece: &Piece,
        switch: &Switch,
        port: Option<&SwitchPort>,
    ) -> Step<()> {
        let Some(monitored) = &switch.monitored else {
            return Continue(());
        };
        if self.headers.eth_dst == SERVICE_MAC {
            return Break(Verdict::Punt(Punt::Health { switch: piece.id }));
        }
        let asked = |monitored: &Monitored| {
            let question = bridge::question(&self.headers);
            question.is_some_and(|(target, asker)| {
                target != asker && monitored.sources.contains(&target)
            })
        };
        match port {
            // Each node answers its own stations.
            Some(port) if self.from == From::Port && asked(monitored) => {
                Break(Verdict::Punt(Punt::AnswerNeighbor {
                    from: port.id,
                    mac: SERVICE_MAC,
                }))
            }
            _ => Continue(()),
        }
    }

    /// An answer that this node has no use for goes to the others that check backends here.
    pub(super) fn relay_check(&mut self, piece: &Piece, switch: &Switch) -> Step<()> {
        let made = matches!(self.entered.entry, Entry::Made(_));
        if !made || self.headers.eth_dst != SERVICE_MAC || switch.monitored.is_none() {
            return Continue(());
        }
        Break(Verdict::Flood(Flood {
            switch: piece.id,
            domain: 0,
            audience: Audience::Checkers,
            local_only: false,
            except: None,
            in_key: 0,
        }))
    }

    /// A check on its way to a backend: of this node, or of another chassis, where it came from no port.
    pub(super) fn is_check(&self) -> bool {
        let of_slow_path = match self.entered.entry {
            Entry::Made(_) => true,
            Entry::Keyed { in_key, .. } => in_key == 0,
            _ => false,
        };
        of_slow_path && self.headers.eth_src == SERVICE_MAC
    }
}
