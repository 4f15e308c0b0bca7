//! What the slow path did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal,)+) => {
        /// Counters of the slow path. One thread writes them, others read.
        #[derive(Debug, Default)]
        pub struct AgentCounters {
            $($(#[doc = $doc])+ pub $field: AtomicU64,)+
        }

        impl AgentCounters {
            /// Name, meaning and value of every counter.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$(($name, concat!($($doc),+).trim_ascii(), self.$field.load(Ordering::Relaxed)),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Frames taken from the workers.
    punts = "punts",
    /// Questions for an address answered (ARP, ND).
    answered = "answered",
    /// Questions for an address asked (ARP, ND).
    asked = "asked",
    /// Announcements sent (gratuitous ARP, unsolicited ND).
    announced = "announced",
    /// Neighbors that got a MAC.
    learned = "neighbors-learned",
    /// Neighbors that got another MAC.
    moved = "neighbors-moved",
    /// Neighbors that did not answer.
    failed = "neighbors-failed",
    /// Neighbors not taken in: the port or the table has as many as it may.
    neighbors_refused = "neighbors-refused",
    /// Claims of a router's own address by another station.
    conflicts = "address-conflicts",
    /// Frames sent on after their next hop was resolved.
    resolved = "resolved",
    /// Frames dropped because too many waited or the neighbor was forgotten.
    waiting_dropped = "waiting-dropped",
    /// Frames dropped because their next hop did not answer.
    unreachable = "unreachable-dropped",
    /// Echo requests answered.
    echo_replies = "echo-replies",
    /// Echo requests put together from fragments.
    reassembled = "echo-reassembled",
    /// Fragments to this node's own addresses that were dropped: overlapping, malformed, or no room for them.
    reassembly_refused = "reassembly-refused",
    /// Datagrams to this node's own addresses of which some fragments did not come.
    reassembly_expired = "reassembly-expired",
    /// Echo requests that get no reply: wrong checksums, senders that are no station.
    echo_refused = "echo-refused",
    /// ICMP errors sent.
    errors_sent = "icmp-errors-sent",
    /// Answers to packets that ACLs reject.
    refusals_sent = "refusals-sent",
    /// ICMP errors and answers to rejected packets not sent because of the rate limits.
    errors_limited = "icmp-errors-limited",
    /// ICMP errors and answers to rejected packets not sent because nothing may be said about such a packet.
    errors_withheld = "icmp-errors-withheld",
    /// Packets of health checks sent to backends.
    checks_sent = "health-sent",
    /// Answers of backends to health checks.
    checks_answered = "health-answered",
    /// Answers of backends that are for other chassis, sent on to these.
    checks_relayed = "health-relayed",
    /// Backends that came online.
    backends_up = "backends-online",
    /// Backends that went offline, or cannot be checked.
    backends_down = "backends-offline",
    /// Decisions of ACLs logged.
    acl_logged = "acl-logged",
    /// Decisions of ACLs not logged because of their meter.
    acl_log_limited = "acl-log-limited",
    /// Packets fragmented.
    fragmented = "fragmented",
    /// Pieces of fragmented packets sent on.
    pieces = "fragments-sent",
    /// Packets that could not be fragmented.
    fragment_refused = "fragment-refused",
    /// MACs learned on switches.
    macs_learned = "macs-learned",
    /// MACs that moved to another port.
    macs_moved = "macs-moved",
    /// MACs not learned: the switch or the table has as many as it may.
    macs_refused = "macs-refused",
    /// MACs forgotten after their age without traffic.
    macs_expired = "macs-expired",
    /// Underlay frames that ask for nothing this node does.
    underlay_ignored = "underlay-ignored",
    /// Frames that do not parse or are not what they were handed over for.
    malformed = "malformed",
    /// Work for a port that has gone or is not active here.
    stale = "stale",
    /// Frames not made because no buffer was free.
    no_buffer = "no-buffer",
    /// Frames the worker's queue had no room for.
    inject_full = "inject-full",
}

/// Adds one. A load and a store do, as only one thread writes.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds `n`.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(n),
        Ordering::Relaxed,
    );
}
