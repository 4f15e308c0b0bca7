//! One switch, a port on each side with half of the MACs.

use std::net::Ipv4Addr;

use super::names::{SIDES, Use, list, node, other, station};
use super::{Expected, Network, Openflow, Packet, Place, Side};

/// MACs behind a side.
const STATIONS: u32 = 500;

pub(super) fn network(place: &Place) -> Network {
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Vif; 2])),
            ("topology.toml", topology()),
        ],
        sides: [0, 1].map(|side| Side::Frames {
            headers: packet(side, 0).headers(),
            tunnel: 0,
            frame: Box::new(move |flow, length| packet(side, flow).frame(flow, length)),
        }),
        expected: Box::new(|side, flow| {
            let same = packet(other(side), flow);
            Some(Expected::of(same, &same))
        }),
        lap_at: None,
        openflow: Openflow::Rules(rules()),
    }
}

fn topology() -> String {
    let mut text =
        "[chassis.node]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n".to_owned();
    for (side, name) in SIDES.into_iter().enumerate() {
        let addresses = list((0..STATIONS).map(|number| station(side, number).to_string()));
        text += &format!("[switch.s.port.{name}]\naddresses = {addresses}\nchassis = \"node\"\n");
    }
    text
}

/// A flow from a side to the other one.
fn packet(side: usize, flow: u32) -> Packet {
    let address =
        |side: usize, n: u32| Ipv4Addr::from_bits(0x0a00_0000 + ((side as u32) << 16) + n % 60_000);
    Packet {
        eth_src: station(side, flow % STATIONS),
        eth_dst: station(other(side), (flow / 7 + flow) % STATIONS),
        src: address(side, flow).into(),
        dst: address(other(side), flow.wrapping_mul(31)).into(),
        ports: ((1_024 + flow / 60_000) as u16, 9),
        ttl: 64,
        checksum: true,
    }
}

fn rules() -> Vec<String> {
    let stations = (0..STATIONS).flat_map(|number| [0, 1].map(|side| (side, number)));
    stations
        .map(|(side, number)| {
            format!(
                "dl_dst={},actions=output:{}",
                station(side, number),
                side + 1
            )
        })
        .collect()
}
