//! NAT behavioural requirements for TCP.

use super::matrix::*;

pub const DOCUMENT: Document = Document {
    number: 5382,
    title: "TCP",
    rows: &[
        Row {
            id: "REQ-1",
            level: Must,
            asks: "A source has one address and port outside, whatever the remote end",
            default: Not("by design, see `mapping`"),
            independent: Met,
            tests: shown![
                conformance::mapping::by_default_a_mapping_is_for_one_remote,
                conformance::independent::one_end_for_all_remotes,
            ],
        },
        Row::both(
            "REQ-2",
            Must,
            "All valid sequences of segments pass, whoever opens",
            Met,
            shown![
                conformance::segments::handshake_data_and_end,
                conformance::independent::tcp_from_outside,
            ],
        ),
        Row::both(
            "REQ-2a",
            Must,
            "Simultaneous open among them",
            Met,
            shown![conformance::segments::simultaneous_open],
        ),
        Row {
            id: "REQ-3",
            level: Should,
            asks: "Anybody may send to a mapped port; where that is too much, any port of an address that was sent to",
            default: Not("the end that was sent to alone"),
            independent: Met,
            tests: shown![
                conformance::filtering::by_default_only_who_was_sent_to_answers,
                conformance::independent::who_may_send_to_a_mapped_port,
            ],
        },
        Row::both(
            "REQ-3a",
            May,
            "Filtering can be set",
            Met,
            shown![conformance::independent::who_may_send_to_a_mapped_port],
        ),
        Row::both(
            "REQ-3b",
            May,
            "... for TCP apart from UDP",
            Inapplicable("a rule is for all protocols"),
            shown![],
        ),
        Row::both(
            "REQ-4",
            Must,
            "A SYN that nobody asked for is not answered for six seconds; if one leaves for its sender meanwhile, never",
            Met,
            shown![conformance::segments::an_unsolicited_syn_gets_no_answer],
        ),
        Row::both(
            "REQ-4 (after)",
            Should,
            "... and then with port unreachable",
            Not("never, which REQ-4a allows: who scans ports learns nothing"),
            shown![conformance::segments::an_unsolicited_syn_gets_no_answer],
        ),
        Row::both(
            "REQ-4a",
            Must,
            "It is dropped silently where an answer is against the policy",
            Met,
            shown![conformance::segments::an_unsolicited_syn_gets_no_answer],
        ),
        Row::both(
            "REQ-5",
            Must,
            "Established connections may be idle for 2 hours 4 minutes, those that open or close for 4 minutes",
            Met,
            shown![
                conformance::timers::established_tcp,
                conformance::timers::transitory_tcp,
            ],
        ),
        Row::both(
            "REQ-5a",
            May,
            "The times can be set",
            Met,
            shown![conformance::timers::times_can_be_set],
        ),
        Row::both(
            "REQ-6",
            Should,
            "Application-level gateways are off, but for FTP",
            Inapplicable("there are none"),
            shown![],
        ),
        Row::both(
            "REQ-7",
            Must,
            "Two sources never share a port so that one loses it",
            Met,
            shown![conformance::mapping::no_two_flows_share_an_end],
        ),
        Row {
            id: "REQ-8",
            level: Must,
            asks: "Hosts inside reach each other by their ends outside",
            default: Partly("what a rule or balancer leads inside"),
            independent: Met,
            tests: shown![
                conformance::mapping::hairpin_to_what_a_rule_leads_inside,
                conformance::independent::hairpin_between_mapped_ends,
            ],
        },
        Row::both(
            "REQ-9",
            Should,
            "Destination unreachable is translated",
            Met,
            shown![
                conformance::errors::from_outside_they_reach_the_client_as_about_its_own_packet,
                conformance::errors::from_inside_they_come_from_the_outer_address,
            ],
        ),
        Row::both(
            "REQ-10",
            Must,
            "No ICMP message ends a mapping or a connection",
            Met,
            shown![conformance::errors::they_end_no_flow],
        ),
    ],
};
