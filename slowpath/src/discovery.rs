//! Who has an address? Questions and answers of ARP and neighbor discovery in one form.

use std::net::IpAddr;

use sluice_net::{Headers, L3, L4, Mac};

use crate::neighbor::Heard;
use crate::{arp, nd};

/// One who sends discovery messages: an address and the MAC that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its MAC.
    pub mac: Mac,
    /// Its address.
    pub ip: IpAddr,
}

/// A question: who has `target`?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address asked for.
    pub target: IpAddr,
    /// Who asks; `None` while it makes sure that nobody has the address (RFC 5227, RFC 4862 section 5.4).
    pub asker: Option<IpAddr>,
    /// The MAC the asker gives for itself.
    pub asker_mac: Option<Mac>,
    /// Where the answer is sent.
    pub reply_to: Mac,
}

/// A discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// ARP request or neighbor solicitation.
    Question(Question),
    /// ARP reply or neighbor advertisement.
    Answer {
        /// The address it speaks for.
        ip: IpAddr,
        /// What it says.
        heard: Heard,
    },
}

impl Message {
    /// What the message says about its sender's (or target's) address, if it says something.
    #[must_use]
    pub fn lesson(&self) -> Option<(IpAddr, Heard)> {
        match *self {
            Message::Question(Question {
                asker: Some(ip),
                asker_mac: Some(mac),
                ..
            }) => Some((ip, Heard::Request { mac })),
            Message::Question(_) => None,
            Message::Answer { ip, heard } => Some((ip, heard)),
        }
    }
}

/// The discovery message in a frame; `None` for any other frame, and for a message whose sender cannot be one.
#[must_use]
pub fn read(headers: &Headers) -> Option<Message> {
    match &headers.l3 {
        L3::Arp(packet) => arp::read(packet),
        L3::Ip(ip)
            if matches!(
                ip.l4,
                L4::NeighborSolicit { .. } | L4::NeighborAdvert { .. }
            ) =>
        {
            nd::read(headers.eth_src, ip)
        }
        _ => None,
    }
}

/// The frame by which `from` asks for `target`: everyone, or only the station `to`. `None` when the addresses
/// are of different families.
#[must_use]
pub fn ask(from: Station, target: IpAddr, to: Option<Mac>) -> Option<Vec<u8>> {
    match (from.ip, target) {
        (IpAddr::V4(ip), IpAddr::V4(target)) => Some(arp::request(from.mac, ip, target, to)),
        (IpAddr::V6(ip), IpAddr::V6(target)) => Some(nd::solicit(from.mac, ip, target, to)),
        _ => None,
    }
}

/// The frame that answers `question` with `mac`. `router` says whether a router speaks (seen in IPv6 only).
#[must_use]
pub fn answer(question: &Question, mac: Mac, router: bool) -> Option<Vec<u8>> {
    match (question.target, question.asker) {
        (IpAddr::V4(target), None) => Some(arp::reply(
            mac,
            target,
            question.reply_to,
            std::net::Ipv4Addr::UNSPECIFIED,
        )),
        (IpAddr::V4(target), Some(IpAddr::V4(asker))) => {
            Some(arp::reply(mac, target, question.reply_to, asker))
        }
        (IpAddr::V6(target), None) => Some(nd::advert(mac, target, None, router)),
        (IpAddr::V6(target), Some(IpAddr::V6(asker))) => Some(nd::advert(
            mac,
            target,
            Some((question.reply_to, asker)),
            router,
        )),
        _ => None,
    }
}

/// The frame by which `station` tells everyone that it has its address: gratuitous ARP (RFC 5227 section 3) or an
/// unsolicited advertisement (RFC 4861 section 7.2.6).
#[must_use]
pub fn announcement(station: Station, router: bool) -> Vec<u8> {
    match station.ip {
        IpAddr::V4(ip) => arp::request(station.mac, ip, ip, None),
        IpAddr::V6(ip) => nd::advert(station.mac, ip, None, router),
    }
}

/// Can a station have this MAC?
pub(crate) fn is_station(mac: Mac) -> bool {
    !mac.is_multicast() && !mac.is_zero()
}
