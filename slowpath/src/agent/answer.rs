//! Answers to ARP requests and neighbor solicitations.

use sluice_fastpath::exchange::{InjectTo, Origin, Punted};
use sluice_fastpath::ids::PortId;
use sluice_fastpath::io::FramePool;
use sluice_fastpath::tables::{Place, Tables};
use sluice_net::Mac;

use super::Agent;
use super::counters::count;
use super::resolve::{mac_of, owns, switch_side};
use crate::discovery::{self, Message};

impl<P: FramePool> Agent<P> {
    /// A question for an address known from the topology: answered in the name of switch port `from`. That this node
    /// is the one to answer, the packet path has decided.
    pub(super) fn answer_known(
        &mut self,
        tables: &Tables,
        punted: &Punted<P::Frame>,
        from: PortId,
        mac: Mac,
    ) {
        let Some((_, headers)) = self.inner(punted) else {
            return;
        };
        let Some(message @ Message::Question(question)) = discovery::read(&headers) else {
            return count(&self.counters.malformed);
        };
        let Some((_, _, port)) = tables.switch_port(from) else {
            return count(&self.counters.stale);
        };
        let behind = match port.place {
            Place::Router(router_port)
            | Place::Gateway {
                port: router_port, ..
            } => Some(router_port),
            _ => None,
        };
        if let Some(reply) = discovery::answer(&question, mac, port.router) {
            let to = InjectTo::Walk(Origin::SwitchPort(from));
            self.send(punted.worker, &reply, to, &self.counters.answered);
        }
        if let (Some(id), Some((ip, heard))) = (behind, message.lesson()) {
            self.learn(tables, (id, ip), heard);
        }
    }

    /// ARP or ND addressed to a router port: learns the sender, and answers when one of the port's addresses is asked for.
    pub(super) fn answer_own(&mut self, tables: &Tables, punted: &Punted<P::Frame>, id: PortId) {
        let Some((_, headers)) = self.inner(punted) else {
            return;
        };
        let Some(message) = discovery::read(&headers) else {
            return count(&self.counters.malformed);
        };
        let Some((_, router, port)) = tables.router_port(id) else {
            return count(&self.counters.stale);
        };
        if let Some((ip, _)) = message.lesson()
            && self.voice(tables, router, port, ip).is_none()
        {
            return count(&self.counters.stale);
        }
        if let Some((ip, heard)) = message.lesson() {
            self.learn(tables, (id, ip), heard);
        }
        let Message::Question(question) = message else {
            return;
        };
        let owns = || owns(tables, router, port, question.target);
        let answers = router.distributed.outside(question.target).is_some()
            || self.speaks_for(port) && owns();
        let Some(via) = switch_side(tables, port).filter(|_| answers) else {
            return;
        };
        let mac = mac_of(router, port, question.target);
        if let Some(reply) = discovery::answer(&question, mac, true) {
            let to = InjectTo::Walk(Origin::SwitchPort(via));
            self.send(punted.worker, &reply, to, &self.counters.answered);
        }
    }
}
