//! The line that an ACL logs about a packet, made as those of OVN's `acl_log` are, so that what reads those reads these.
//!
//! ```text
//! name="web", verdict=drop, severity=info, direction=to-lport: tcp,vlan_tci=0x0000,dl_src=..,dl_dst=..,nw_src=..,nw_dst=..,
//! nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=4000,tp_dst=80,tcp_flags=syn
//! ```

use std::fmt::{self, Write};

use sluice_net::wire::ip_proto;
use sluice_net::{Field, Fragment, Headers, Ip, L3, L4};

/// Names of TCP flags, FIN first (RFC 9293 section 3.1).
const TCP_FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/// An ACL and its verdict, in OVN's words.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What the operator calls it.
    pub name: Option<&'a str>,
    /// `allow`, `drop` or `reject`.
    pub verdict: &'a str,
    /// How grave it is.
    pub severity: &'a str,
    /// Where it was applied.
    pub direction: &'a str,
}

/// The line.
#[must_use]
pub fn line(judged: &Judged<'_>, headers: &Headers) -> String {
    let mut line = format!(
        "name=\"{}\", verdict={}, severity={}, direction={}: ",
        judged.name.unwrap_or("<unnamed>"),
        judged.verdict,
        judged.severity,
        judged.direction,
    );
    // A String takes everything.
    let _ = write_flow(&mut line, headers);
    line
}

fn write_flow(line: &mut String, headers: &Headers) -> fmt::Result {
    let ethernet = |line: &mut String, name: &str| {
        let tci = headers.vlan.map_or(0, |tci| tci | 0x1000);
        let (src, dst) = (headers.eth_src, headers.eth_dst);
        write!(line, "{name},vlan_tci={tci:#06x},dl_src={src},dl_dst={dst}")
    };
    match &headers.l3 {
        L3::Arp(arp) => {
            ethernet(line, "arp")?;
            write!(
                line,
                ",arp_spa={},arp_tpa={},arp_op={},arp_sha={},arp_tha={}",
                arp.sender_ip, arp.target_ip, arp.op, arp.sender_mac, arp.target_mac
            )
        }
        L3::Other => {
            ethernet(line, "eth")?;
            write!(line, ",dl_type={:#06x}", headers.ethertype)
        }
        L3::Ip(ip) => {
            ethernet(line, &protocol(ip))?;
            write_ip(line, ip)?;
            write_upper(line, headers, ip)
        }
    }
}

fn protocol(ip: &Ip) -> String {
    let name = match ip.proto {
        ip_proto::TCP => "tcp",
        ip_proto::UDP => "udp",
        ip_proto::SCTP => "sctp",
        ip_proto::ICMP if !ip.is_v6() => "icmp",
        ip_proto::ICMPV6 if ip.is_v6() => return "icmp6".to_owned(),
        _ => "ip",
    };
    match (ip.is_v6(), name) {
        (false, name) => name.to_owned(),
        (true, "ip") => "ipv6".to_owned(),
        (true, name) => format!("{name}6"),
    }
}

fn write_ip(line: &mut String, ip: &Ip) -> fmt::Result {
    let prefix = if ip.is_v6() { "ipv6" } else { "nw" };
    let fragment = match ip.fragment {
        Fragment::None => "no",
        Fragment::First => "first",
        Fragment::Later => "later",
    };
    write!(line, ",{prefix}_src={},{prefix}_dst={}", ip.src, ip.dst)?;
    if protocol(ip).starts_with("ip") {
        write!(line, ",nw_proto={}", ip.proto)?;
    }
    let (dscp, ecn) = (ip.tos & !0b11, ip.tos & 0b11);
    write!(
        line,
        ",nw_tos={dscp},nw_ecn={ecn},nw_ttl={},nw_frag={fragment}",
        ip.ttl
    )
}

fn write_upper(line: &mut String, headers: &Headers, ip: &Ip) -> fmt::Result {
    match ip.l4 {
        L4::Tcp { src, dst, flags } => {
            let set = TCP_FLAGS.iter().enumerate();
            let set = set.filter(|(bit, _)| flags >> bit & 1 == 1);
            let names: Vec<&str> = set.map(|(_, name)| *name).collect();
            write!(
                line,
                ",tp_src={src},tp_dst={dst},tcp_flags={}",
                names.join("|")
            )
        }
        L4::Udp { src, dst, .. } | L4::Sctp { src, dst } => {
            write!(line, ",tp_src={src},tp_dst={dst}")
        }
        _ => {
            let fields = match ip.is_v6() {
                false => (Field::Icmp4Type, Field::Icmp4Code),
                true => (Field::Icmp6Type, Field::Icmp6Code),
            };
            match (fields.0.read(headers), fields.1.read(headers)) {
                (Some(kind), Some(code)) => write!(line, ",icmp_type={kind},icmp_code={code}"),
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_net::builder::Echo;
    use sluice_net::wire::tcp;
    use sluice_net::{Builder, Mac, parse};

    use super::*;

    fn flow(name: Option<&str>, packet: &Builder) -> String {
        let judged = Judged {
            name,
            verdict: "drop",
            severity: "info",
            direction: "to-lport",
        };
        line(&judged, &parse(&packet.build()).unwrap())
    }

    #[test]
    fn lines_have_the_fields_of_ovn() {
        let from = |src: &str, dst: &str| {
            Builder::ethernet(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
                .ip(src.parse().unwrap(), dst.parse().unwrap())
        };
        let v4 = || from("10.0.0.1", "10.0.0.2");
        let v6 = || from("fd00::1", "fd00::2");
        let ethernet = "vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02";
        let nw = "nw_src=10.0.0.1,nw_dst=10.0.0.2";
        let rest = "nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no";
        let said = "verdict=drop, severity=info, direction=to-lport";
        let cases = [
            (
                v4().tcp(1, 80, tcp::SYN | tcp::ACK),
                format!("tcp,{ethernet},{nw},{rest},tp_src=1,tp_dst=80,tcp_flags=syn|ack"),
            ),
            (
                v4().tos(0x2b).udp(1, 53),
                format!(
                    "udp,{ethernet},{nw},nw_tos=40,nw_ecn=3,nw_ttl=64,nw_frag=no,tp_src=1,tp_dst=53"
                ),
            ),
            (
                v4().icmp_echo(Echo::Request, 1, 1),
                format!("icmp,{ethernet},{nw},{rest},icmp_type=8,icmp_code=0"),
            ),
            (
                v4().protocol(47),
                format!("ip,{ethernet},{nw},nw_proto=47,{rest}"),
            ),
            (
                v6().tcp(1, 80, tcp::SYN),
                format!(
                    "tcp6,{ethernet},ipv6_src=fd00::1,ipv6_dst=fd00::2,{rest},tp_src=1,tp_dst=80,tcp_flags=syn"
                ),
            ),
            (
                v6().icmp_echo(Echo::Reply, 1, 1),
                format!(
                    "icmp6,{ethernet},ipv6_src=fd00::1,ipv6_dst=fd00::2,{rest},icmp_type=129,icmp_code=0"
                ),
            ),
        ];
        for (packet, expected) in cases {
            let expected = format!("name=\"web\", {said}: {expected}");
            assert_eq!(flow(Some("web"), &packet), expected);
        }
        assert!(flow(None, &v4()).starts_with("name=\"<unnamed>\", "));
    }
}
