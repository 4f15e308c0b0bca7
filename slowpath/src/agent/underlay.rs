//! This node's own underlay address: ARP, echo, and the next hops of tunnels.

use std::net::IpAddr;

use sluice_fastpath::exchange::{InjectTo, Punted};
use sluice_fastpath::ids::WorkerId;
use sluice_fastpath::io::{Frame, FramePool};
use sluice_fastpath::tables::{Tables, UNDERLAY_PORT, Underlay};
use sluice_net::wire::ethernet::ETHERTYPE_VLAN;
use sluice_net::wire::ip_proto;
use sluice_net::{Ip, L4, Mac};
use std::sync::atomic::AtomicU64;

use super::Agent;
use super::counters::count;
use super::resolve::ANY_WORKER;
use crate::discovery::{self, Message, Station};
use crate::icmp;

impl<P: FramePool> Agent<P> {
    /// A tunnel packet waits for its underlay next hop.
    pub(super) fn resolve_underlay(&mut self, punted: Punted<P::Frame>, next_hop: IpAddr) {
        if self.reader.tables().underlay.is_some() && next_hop.is_ipv4() {
            self.need((UNDERLAY_PORT, next_hop), Some(punted));
        } else {
            count(&self.counters.stale);
        }
    }

    /// A frame to this node's underlay address.
    pub(super) fn underlay_frame(&mut self, tables: &Tables, punted: &Punted<P::Frame>) {
        let Some(underlay) = &tables.underlay else {
            return count(&self.counters.stale);
        };
        let frame = punted.frame.data();
        let Ok(headers) = sluice_net::parse(frame) else {
            return count(&self.counters.malformed);
        };
        let own = IpAddr::from(underlay.address.addr());
        if let Some(message) = discovery::read(&headers) {
            return self.underlay_discovery(underlay, own, &message, punted.worker);
        }
        let ours = |ip: &&Ip| ip.dst == own && ip.proto == ip_proto::ICMP;
        let Some(asked) = headers.ip().filter(ours).map(|ip| ip.fragment_id) else {
            return count(&self.counters.underlay_ignored);
        };
        let Some((whole, headers)) = self.collect(UNDERLAY_PORT, frame, &headers) else {
            return;
        };
        let echo = |ip: &Ip| matches!(ip.l4, L4::Echo { reply: false, .. });
        if !headers.ip().is_some_and(echo) {
            return count(&self.counters.underlay_ignored);
        }
        let Ok(mut reply) = icmp::echo_reply(&whole.frame, &headers) else {
            return count(&self.counters.echo_refused);
        };
        if let Some(vlan) = underlay.vlan {
            reply = tag(&reply, vlan);
        }
        let to = (punted.worker, InjectTo::Device(underlay.device));
        self.send_in_pieces(
            to,
            &reply,
            (asked, whole.largest),
            &self.counters.echo_replies,
        );
    }

    fn underlay_discovery(
        &mut self,
        underlay: &Underlay,
        own: IpAddr,
        message: &Message,
        worker: WorkerId,
    ) {
        if let Message::Question(question) = message
            && question.target == own
            && let Some(reply) = discovery::answer(question, underlay.mac, false)
        {
            self.send_underlay(underlay, worker, &reply, &self.counters.answered);
        }
        let Some((ip, heard)) = message.lesson() else {
            return;
        };
        let on_link = matches!(ip, IpAddr::V4(ip) if underlay.address.contains(&ip));
        if ip == own {
            count(&self.counters.conflicts);
        } else {
            self.note((UNDERLAY_PORT, ip), heard, on_link);
        }
    }

    /// Asks for an underlay next hop.
    pub(super) fn ask_underlay(&mut self, tables: &Tables, ip: IpAddr, unicast: Option<Mac>) {
        let Some(underlay) = &tables.underlay else {
            return;
        };
        let station = Station {
            mac: underlay.mac,
            ip: underlay.address.addr().into(),
        };
        if let Some(frame) = discovery::ask(station, ip, unicast) {
            self.send_underlay(underlay, ANY_WORKER, &frame, &self.counters.asked);
        }
    }

    /// Tells the underlay that this node's address is here.
    pub(super) fn announce_underlay(&mut self, tables: &Tables) {
        let Some(underlay) = &tables.underlay else {
            return;
        };
        let station = Station {
            mac: underlay.mac,
            ip: underlay.address.addr().into(),
        };
        let frame = discovery::announcement(station, false);
        self.send_underlay(underlay, ANY_WORKER, &frame, &self.counters.announced);
    }

    fn send_underlay(&self, underlay: &Underlay, worker: WorkerId, frame: &[u8], what: &AtomicU64) {
        let to = InjectTo::Device(underlay.device);
        match underlay.vlan {
            None => self.send(worker, frame, to, what),
            Some(vlan) => self.send(worker, &tag(frame, vlan), to, what),
        }
    }
}

/// The frame with an 802.1Q tag.
fn tag(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at_checked(12).unwrap_or((frame, &[]));
    [
        addresses,
        &ETHERTYPE_VLAN.to_be_bytes(),
        &vlan.to_be_bytes(),
        rest,
    ]
    .concat()
}
