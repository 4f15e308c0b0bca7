//! Updates to the behavioural requirements.

use super::matrix::*;

pub const DOCUMENT: Document = Document {
    number: 7857,
    title: "updates",
    rows: &[
        Row::both(
            "2",
            Should,
            "TCP is tracked as RFC 6146 does",
            Met,
            shown![
                conformance::segments::handshake_data_and_end,
                conformance::segments::simultaneous_open,
                conformance::timers::a_rst_passes_and_leaves_four_minutes,
            ],
        ),
        Row::both(
            "2.1",
            Should,
            "Times of connections that open and of those that close can be set apart; four minutes by default",
            Met,
            shown![
                conformance::timers::times_can_be_set,
                conformance::timers::transitory_tcp,
            ],
        ),
        Row::both(
            "2.2",
            Must,
            "A RST is translated",
            Met,
            shown![conformance::timers::a_rst_passes_and_leaves_four_minutes],
        ),
        Row::both(
            "2.2 (after)",
            Should,
            "... and ends the connection after four minutes without a packet, if it comes from where the stream is",
            Met,
            shown![
                conformance::timers::a_rst_passes_and_leaves_four_minutes,
                nat::a_rst_counts_only_from_where_the_stream_is,
            ],
        ),
        Row {
            id: "3",
            level: May,
            asks: "Flows to different remote ends may have one port outside",
            default: Met,
            independent: Inapplicable("a port is one source's alone"),
            tests: shown![conformance::mapping::by_default_a_mapping_is_for_one_remote],
        },
        Row::both(
            "4",
            Should,
            "What a host gets when its address has no ports left: the same address or none",
            Met,
            shown![conformance::exhaustion::without_a_port_the_sender_is_told],
        ),
        Row::both(
            "5",
            Should,
            "The mapping of one protocol says nothing of another's",
            Met,
            shown![conformance::mapping::protocols_are_apart],
        ),
        Row::both(
            "6",
            Should,
            "... nor does its filter",
            Met,
            shown![
                conformance::mapping::protocols_are_apart,
                conformance::independent::filters_of_protocols_are_apart,
            ],
        ),
        Row::both(
            "7",
            Should,
            "What is not let in refreshes nothing",
            Met,
            shown![conformance::independent::what_is_filtered_refreshes_nothing],
        ),
        Row::both(
            "7.1",
            Should,
            "Errors that a host sends about what comes to it refresh nothing",
            Met,
            shown![conformance::errors::they_refresh_nothing],
        ),
        Row::both(
            "8",
            Should,
            "Parity of ports is not kept by default",
            Met,
            shown![
                conformance::mapping::parity_is_kept_when_asked_for,
                conformance::mapping::chosen_ports_are_unpredictable,
            ],
        ),
        Row::both(
            "9",
            Should,
            "Ports are chosen at random (RFC 6056)",
            Met,
            shown![conformance::mapping::chosen_ports_are_unpredictable],
        ),
        Row::both(
            "10",
            Should,
            "The identification of a packet that may be cut is unique for its source outside (RFC 6864 section 5.3.1)",
            Partly("it is left alone; two hosts behind one address may use the same one at a time"),
            shown![conformance::mapping::identification_is_left_alone],
        ),
        Row::both(
            "11",
            May,
            "A mapping of ICMP queries may end with its last session",
            Met,
            shown![conformance::timers::icmp_queries],
        ),
        Row::both(
            "12",
            Must,
            "ICMP between hosts inside that use each other's addresses outside passes",
            Met,
            shown![conformance::errors::hairpinned_queries_and_errors],
        ),
    ],
};
