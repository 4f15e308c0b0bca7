//! One case for both families: a case is written in IPv4, and once more run with IPv6 in the place of it.
//!
//! Every IPv4 address of a topology, host or packet becomes an IPv6 address with the same last 32 bits, but for the
//! underlay's; what is on the wires is told in the terms of IPv4 again, so that the case expects the same of both.
//! What the families do not have in common (ARP and ND, codes of ICMP errors and how much they quote) is a case of
//! its own.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use sluice_net::wire::{icmpv4, icmpv6};
use sluice_net::{Builder, Mac};

/// Network of all addresses of IPv6 that stand for one of IPv4.
const NETWORK: u128 = 0xfd00_0006_0004_0006 << 64;
/// How much longer an IPv6 header is.
const LONGER: usize = 20;

thread_local!(static V6: Cell<bool> = const { Cell::new(false) });

/// Makes a test of each case for either family.
macro_rules! both_families {
    ($($case:ident),* $(,)?) => {
        mod ipv4 {
            $(#[test] fn $case() { super::$case(); })*
        }
        mod ipv6 {
            $(#[test] fn $case() { crate::support::family::with_v6(super::$case); })*
        }
    };
}
pub(crate) use both_families;

/// Runs a case with IPv6.
pub fn with_v6(case: impl FnOnce()) {
    with_family(true, case);
}

/// Runs a case with one family.
pub fn with_family<T>(v6: bool, case: impl FnOnce() -> T) -> T {
    V6.set(v6);
    let came = case();
    V6.set(false);
    came
}

/// This case runs with IPv6.
pub fn is_v6() -> bool {
    V6.get()
}

/// The address that stands for this one.
pub fn address(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if is_v6() && !is_underlay(v4) => {
            Ipv6Addr::from_bits(NETWORK | u128::from(v4.to_bits())).into()
        }
        _ => ip,
    }
}

/// The network that stands for this one.
pub fn network(net: IpNet) -> IpNet {
    match (net.prefix_len(), address(net.addr())) {
        (0, IpAddr::V6(_)) => "::/0".parse().unwrap(),
        (len, ip @ IpAddr::V6(_)) if !net.addr().is_ipv6() => IpNet::new(ip, 96 + len).unwrap(),
        _ => net,
    }
}

fn is_underlay(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    (a, b) == (172, 16)
}

/// A topology with the addresses that stand for its own, and fields of expressions too.
pub fn topology(text: &str) -> String {
    if !is_v6() {
        return text.to_owned();
    }
    let mut told = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let address = |c: char| c.is_ascii_digit() || c == '.' || c == '/';
        let word = |c: char| c.is_alphanumeric() || "._-".contains(c);
        let len = match first.is_ascii_digit() {
            true => rest.find(|c| !address(c)).unwrap_or(rest.len()),
            false if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(len);
        let port = behind.starts_with(':') && !told.ends_with(':');
        match (token.parse::<IpAddr>(), token.parse::<IpNet>()) {
            (Ok(ip), _) if port && address_changes(ip) => {
                told.push_str(&format!("[{}]", self::address(ip)));
            }
            (Ok(ip), _) => told.push_str(&self::address(ip).to_string()),
            (_, Ok(net)) => told.push_str(&network(net).to_string()),
            _ => told.push_str(&field(token)),
        }
        rest = behind;
    }
    told
}

fn address_changes(ip: IpAddr) -> bool {
    address(ip) != ip
}

/// A field of a match expression in the terms of IPv6.
fn field(word: &str) -> String {
    for (old, new) in [("ip4", "ip6"), ("icmp4", "icmp6")] {
        if word == old || word.strip_prefix(old).is_some_and(|r| r.starts_with('.')) {
            return word.replacen(old, new, 1);
        }
    }
    word.to_owned()
}

/// Builds ICMP errors of the family.
pub trait Error {
    /// Of these type and code of ICMP, or what ICMPv6 has for them.
    fn error(self, kind: u8, code: u8) -> Self;
}

impl Error for Builder {
    fn error(self, kind: u8, code: u8) -> Self {
        icmp(self, kind, code)
    }
}

fn icmp(builder: Builder, kind: u8, code: u8) -> Builder {
    let (kind, code) = match (is_v6(), kind, code) {
        (false, ..) => (kind, code),
        (true, icmpv4::TIME_EXCEEDED, code) => (icmpv6::TIME_EXCEEDED, code),
        (true, icmpv4::UNREACHABLE, code) => {
            let codes = CODES.iter().find(|(v4, _)| *v4 == code);
            (icmpv6::UNREACHABLE, codes.expect("a code of both").1)
        }
        (true, kind, code) => panic!("ICMPv6 has nothing for {kind}/{code}"),
    };
    builder.icmp(kind, code, [0; 4])
}

/// An ICMP message that is neither an echo nor an error: a timestamp, or a node information query.
pub fn information(builder: Builder) -> Builder {
    let kind = if is_v6() { 139 } else { 13 };
    builder.icmp(kind, 0, [0; 4])
}

/// Codes of unreachable in both.
const CODES: [(u8, u8); 4] = [
    (0, icmpv6::CODE_NO_ROUTE),
    (1, icmpv6::CODE_ADDRESS_UNREACHABLE),
    (3, icmpv6::CODE_PORT_UNREACHABLE),
    (13, icmpv6::CODE_PROHIBITED),
];

/// An address in the terms of IPv4.
pub fn text(ip: IpAddr) -> String {
    end(&ip.to_string())
}

/// A host with this MAC and address asks for another's MAC.
pub fn question(asker: Mac, own: IpAddr, target: IpAddr) -> Builder {
    match (own, target) {
        (IpAddr::V4(own), IpAddr::V4(target)) => {
            Builder::ethernet(asker, Mac::BROADCAST).arp_request(own, target)
        }
        (IpAddr::V6(own), IpAddr::V6(target)) => {
            let [.., a, b, c] = target.octets();
            let group = u128::from(u32::from_be_bytes([0xff, a, b, c]));
            Builder::ethernet(asker, Mac([0x33, 0x33, 0xff, a, b, c]))
                .ipv6(own, Ipv6Addr::from_bits(0xff02 << 112 | 1 << 32 | group))
                .neighbor_solicit(target, Some(asker))
        }
        _ => unreachable!("neighbors are of one family"),
    }
}

/// A line about a frame, in the terms of IPv4.
pub fn told(line: String) -> String {
    if !is_v6() || !line.contains("fd00:6:4:6:") {
        return line;
    }
    if let Some((told, answer)) = line.split_once(" icmp6 neighbor ")
        && let Some((target, mac)) = answer.split_once(" is ")
    {
        let words: Vec<&str> = told.split(' ').collect();
        let [frame @ .., _, _, asker] = &words[..] else {
            return line;
        };
        let mac = mac.split(' ').next().unwrap_or_default();
        let (frame, target, asker) = (frame.join(" "), end(target), end(asker));
        return format!("{frame} arp reply {target} to {asker} sender {mac}");
    }
    let error = line.contains("icmp6 error");
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let before = words.last().map(String::as_str);
        let told = match before {
            Some("len") => shorter(word, if error { 2 * LONGER } else { LONGER }),
            Some("error") if words[words.len() - 2] == "icmp" => code(word),
            _ if word == "icmp6" => "icmp".to_owned(),
            _ => end(word),
        };
        words.push(told);
    }
    words.join(" ")
}

fn shorter(word: &str, by: usize) -> String {
    let digits = word.trim_end_matches(']');
    let len: usize = digits.parse().expect("a length");
    format!("{}{}", len - by, &word[digits.len()..])
}

fn code(word: &str) -> String {
    let (kind, code) = word.split_once('/').expect("type and code");
    let (kind, code) = (kind.parse().unwrap(), code.parse().unwrap());
    let (kind, code) = match kind {
        icmpv6::TIME_EXCEEDED => (icmpv4::TIME_EXCEEDED, code),
        icmpv6::PACKET_TOO_BIG => (icmpv4::UNREACHABLE, 4),
        _ => {
            let codes = CODES.iter().find(|(_, v6)| *v6 == code);
            (icmpv4::UNREACHABLE, codes.expect("a code of both").0)
        }
    };
    format!("{kind}/{code}")
}

/// An address, or one with a port.
fn end(word: &str) -> String {
    let bracket = word.starts_with('[');
    let (ip, port) = match word.trim_start_matches('[').split_once('.') {
        Some((ip, port)) => (ip, Some(port)),
        None => (word.trim_start_matches('['), None),
    };
    let Some(ip) = ip
        .parse::<Ipv6Addr>()
        .ok()
        .filter(|ip| ip.to_bits() >> 32 == NETWORK >> 32)
    else {
        return word.to_owned();
    };
    let ip = Ipv4Addr::from_bits(ip.to_bits() as u32);
    let open = if bracket { "[" } else { "" };
    match port {
        Some(port) => format!("{open}{ip}.{port}"),
        None => format!("{open}{ip}"),
    }
}
