//! One router between both sides, with routes to next hops on each.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::{ROUTER_MACS, SIDES, Use, list, node, other, station};
use super::{Expected, KernelRules, Network, Openflow, Packet, Place, Side};

/// Next hops on a side.
const NEXT_HOPS: u32 = 16;
/// Routes towards a side.
const ROUTES: u32 = 500;
/// Routes of a full table towards a side.
const FULL: u32 = 500_000;

/// Which routes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    V4,
    V6,
    Full,
}

pub(super) fn l3(place: &Place) -> Network {
    network(place, Table::V4)
}

pub(super) fn l3_v6(place: &Place) -> Network {
    network(place, Table::V6)
}

pub(super) fn full_table(place: &Place) -> Network {
    network(place, Table::Full)
}

fn network(place: &Place, table: Table) -> Network {
    let mut files = vec![
        ("node.toml", node(place, [Use::Vif; 2])),
        ("topology.toml", topology(table)),
    ];
    if table == Table::Full {
        files.push(("routes.txt", routes_file()));
    }
    Network {
        files,
        sides: [0, 1].map(|side| Side::Frames {
            headers: table.packet(side, 0).headers(),
            tunnel: 0,
            frame: Box::new(move |flow, length| table.packet(side, flow).frame(flow, length)),
        }),
        expected: Box::new(move |side, flow| {
            let before = table.packet(other(side), flow);
            let after = Packet {
                eth_src: ROUTER_MACS[side],
                eth_dst: station(side, table.route(flow) % NEXT_HOPS),
                ttl: before.ttl - 1,
                ..before
            };
            Some(Expected::of(after, &before))
        }),
        lap_at: None,
        openflow: rules(table),
    }
}

impl Table {
    fn routes(self) -> u32 {
        if self == Table::Full { FULL } else { ROUTES }
    }

    /// The route that a flow takes: strewn, and all of them met.
    fn route(self, flow: u32) -> u32 {
        (u64::from(flow) * 7_919 % u64::from(self.routes())) as u32
    }

    /// Destination and prefix length of a route towards a side.
    fn prefix(self, side: usize, route: u32) -> (IpAddr, u8) {
        match self {
            Table::V4 => (
                Ipv4Addr::from_bits(0x1400_0000 + ((side as u32) << 24) + (route << 8)).into(),
                24,
            ),
            Table::V6 => {
                let subnet =
                    0x2001_0db8_0000_0000 + ((side as u64) << 31) + (u64::from(route) << 8);
                (Ipv6Addr::from_bits(u128::from(subnet) << 64).into(), 56)
            }
            Table::Full => full_prefix(side, route),
        }
    }

    /// An address of a side's station in the router's network.
    fn next_hop(self, side: usize, number: u32) -> IpAddr {
        match self {
            Table::V6 => {
                Ipv6Addr::new(0xfd00, side as u16, 0, 0, 0, 0, 0, 0x10 + number as u16).into()
            }
            _ => Ipv4Addr::new(10, side as u8, 0, 0x10 + number as u8).into(),
        }
    }

    fn network(self, side: usize) -> String {
        match self {
            Table::V6 => format!("fd00:{side}::1/64"),
            _ => format!("10.{side}.0.1/24"),
        }
    }

    /// A flow from a side to the other one.
    fn packet(self, side: usize, flow: u32) -> Packet {
        let to = other(side);
        let within = |(address, length): (IpAddr, u8), n: u32| match address {
            IpAddr::V4(address) => {
                let room = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                IpAddr::from(Ipv4Addr::from_bits(address.to_bits() + (n & room)))
            }
            IpAddr::V6(address) => {
                IpAddr::from(Ipv6Addr::from_bits(address.to_bits() + u128::from(n)))
            }
        };
        Packet {
            eth_src: station(side, flow % NEXT_HOPS),
            eth_dst: ROUTER_MACS[side],
            src: within(self.prefix(side, flow % self.routes()), 1),
            dst: within(self.prefix(to, self.route(flow)), 1 + flow / 500 % 250),
            ports: (1_024 + (flow / 50_000) as u16, 9),
            ttl: 64,
            checksum: true,
        }
    }
}

/// A table as long as that of the internet and about as mixed: six of ten are /24, two /23, one /22 and one /28.
/// Each length has a range of its own behind 11.0.0.0, counted in /24, so no prefix covers another.
fn full_prefix(side: usize, route: u32) -> (IpAddr, u8) {
    let n = route * 2 + side as u32;
    let (base, length) = match n % 10 {
        0 => (n / 10 * 2, 23),
        1..=6 => (200_000 + n / 10 * 6 + (n % 10 - 1), 24),
        7 => (800_000 + n / 10 * 4, 22),
        8 => (1_200_000 + n / 10 * 2, 23),
        _ => (1_400_000 + n / 10, 28),
    };
    (
        Ipv4Addr::from_bits(0x0b00_0000 + (base << 8)).into(),
        length,
    )
}

fn topology(table: Table) -> String {
    let mut text =
        "[chassis.node]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n".to_owned();
    let mut router = if table == Table::Full {
        "[router.r]\nroutes_file = \"routes.txt\"\n".to_owned()
    } else {
        String::new()
    };
    for (side, name) in SIDES.into_iter().enumerate() {
        let stations =
            (0..NEXT_HOPS).map(|n| format!("{} {}", station(side, n), table.next_hop(side, n)));
        let _ = write!(
            text,
            "[switch.s{name}.port.{name}]\naddresses = {}\nchassis = \"node\"\n\
             [switch.s{name}.port.s{name}-r]\ntype = \"router\"\nrouter_port = \"r-{name}\"\n",
            list(stations)
        );
        let _ = write!(
            router,
            "[router.r.port.r-{name}]\nmac = \"{}\"\nnetworks = [\"{}\"]\n",
            ROUTER_MACS[side],
            table.network(side)
        );
        if table == Table::Full {
            continue;
        }
        for route in 0..ROUTES {
            let (prefix, length) = table.prefix(side, route);
            let via = table.next_hop(side, route % NEXT_HOPS);
            let _ = write!(
                router,
                "[[router.r.route]]\nip_prefix = \"{prefix}/{length}\"\nnexthop = \"{via}\"\n"
            );
        }
    }
    text + &router
}

fn routes_file() -> String {
    let mut text = String::new();
    for route in 0..FULL {
        for side in [0, 1] {
            let (prefix, length) = full_prefix(side, route);
            let via = Table::Full.next_hop(side, route % NEXT_HOPS);
            let _ = writeln!(text, "{prefix}/{length} via {via}");
        }
    }
    text
}

pub(super) fn kernel_rules() -> KernelRules {
    let table = Table::V4;
    let mut ip = Vec::new();
    for (side, device) in [(0, "a1"), (1, "b0")] {
        ip.push(format!("address add {} dev {device}", table.network(side)));
        for n in 0..NEXT_HOPS {
            let (at, mac) = (table.next_hop(side, n), station(side, n));
            ip.push(format!("neighbor add {at} lladdr {mac} dev {device}"));
        }
        for route in 0..ROUTES {
            let (prefix, length) = table.prefix(side, route);
            let via = table.next_hop(side, route % NEXT_HOPS);
            ip.push(format!(
                "route add {prefix}/{length} via {via} dev {device}"
            ));
        }
    }
    KernelRules {
        macs: ROUTER_MACS,
        ip,
        nft: None,
    }
}

fn rules(table: Table) -> Openflow {
    if table == Table::Full {
        return Openflow::Not("it has no routes; 1,000,000 rules take minutes to load");
    }
    let (kind, field) = if table == Table::V6 {
        ("ipv6", "ipv6_dst")
    } else {
        ("ip", "nw_dst")
    };
    let mut rules = Vec::new();
    for side in [0, 1] {
        for route in 0..ROUTES {
            let (prefix, length) = table.prefix(side, route);
            rules.push(format!(
                "{kind},dl_dst={},{field}={prefix}/{length},actions=dec_ttl,mod_dl_src:{},mod_dl_dst:{},output:{}",
                ROUTER_MACS[other(side)],
                ROUTER_MACS[side],
                station(side, route % NEXT_HOPS),
                side + 1
            ));
        }
    }
    Openflow::Rules(rules)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_full_table_has_a_million_prefixes_and_none_covers_another() {
        let mut ranges = Vec::new();
        for route in 0..FULL {
            for side in [0, 1] {
                let (IpAddr::V4(address), length) = full_prefix(side, route) else {
                    panic!("not IPv4")
                };
                let size = 1_u32 << (32 - length);
                assert_eq!(address.to_bits() % size, 0, "{address}/{length}");
                assert!((1..127).contains(&address.octets()[0]), "{address}");
                ranges.push((address.to_bits(), size));
            }
        }
        assert_eq!(ranges.len(), 1_000_000);
        ranges.sort_unstable();
        assert!(
            ranges
                .windows(2)
                .all(|pair| pair[0].0 + pair[0].1 <= pair[1].0)
        );
    }

    #[test]
    fn flows_differ() {
        for table in [Table::V4, Table::V6] {
            let flows: HashSet<_> = (0..100_000)
                .map(|flow| {
                    let packet = table.packet(0, flow);
                    (packet.src, packet.dst, packet.ports)
                })
                .collect();
            assert_eq!(flows.len(), 100_000);
        }
        let routes: HashSet<_> = (0..1_000_000).map(|flow| Table::Full.route(flow)).collect();
        assert_eq!(routes.len(), 500_000);
    }
}
