//! What the node file says of connections, told to the table that holds them.

use sluice_fastpath::connections::{ConnectionTable, Timeouts};
use sluice_fastpath::fragments;

use crate::config::{self, Node, Timeout};

/// Puts idle times, limit per source and hold-down of ports into effect. Deadlines are moved as connections come up
/// next; connections that are open stay, also when a source has more than it may.
pub(crate) fn apply(node: &Node, table: &ConnectionTable) {
    let timeouts = timeouts(node);
    if timeouts != table.timeouts() {
        table.set_timeouts(&timeouts);
    }
    table.set_source_limit(node.connections.per_source);
    table.set_hold_down(milliseconds(node.connections.port_hold_down));
}

/// How long after the start TCP connections are picked up in the middle, in milliseconds: the daemon may have translated
/// them before it was restarted. Only from inside, and only with the port they have.
pub(crate) fn pick_up(node: &Node) -> u32 {
    milliseconds(node.connections.pick_up)
}

/// The bounds of each worker's fragments: its part of the node's.
pub(crate) fn fragments(node: &Node) -> fragments::Limits {
    let workers = (node.dataplane.workers.len() as u32).max(1);
    let config::Fragments {
        datagrams,
        held,
        timeout,
    } = node.fragments;
    fragments::Limits {
        datagrams: datagrams.div_ceil(workers),
        held: held.div_ceil(workers),
        timeout: milliseconds(timeout),
    }
}

fn milliseconds(seconds: u32) -> u32 {
    seconds.saturating_mul(1000)
}

/// The defaults, but for what the file says.
fn timeouts(node: &Node) -> Timeouts {
    let mut timeouts = Timeouts::default();
    for (timeout, seconds) in &node.timeouts {
        *field(&mut timeouts, *timeout) = milliseconds(*seconds);
    }
    timeouts
}

fn field(timeouts: &mut Timeouts, timeout: Timeout) -> &mut u32 {
    match timeout {
        Timeout::TcpSynSent => &mut timeouts.tcp_syn_sent,
        Timeout::TcpSynReceived => &mut timeouts.tcp_syn_received,
        Timeout::TcpEstablished => &mut timeouts.tcp_established,
        Timeout::TcpFinWait => &mut timeouts.tcp_fin_wait,
        Timeout::TcpLastAck => &mut timeouts.tcp_last_ack,
        Timeout::TcpTimeWait => &mut timeouts.tcp_time_wait,
        Timeout::TcpReset => &mut timeouts.tcp_reset,
        Timeout::Udp => &mut timeouts.udp,
        Timeout::UdpUnreplied => &mut timeouts.udp_unreplied,
        Timeout::Icmp => &mut timeouts.icmp,
        Timeout::IcmpUnreplied => &mut timeouts.icmp_unreplied,
        Timeout::Other => &mut timeouts.other,
        Timeout::OtherUnreplied => &mut timeouts.other_unreplied,
    }
}
