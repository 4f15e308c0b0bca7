//! NAT behavioural requirements for unicast UDP.

use super::matrix::*;

const ENDS: &str = "by design, see `mapping`";
const ALGS: Status = Inapplicable("there are no application-level gateways");

pub const DOCUMENT: Document = Document {
    number: 4787,
    title: "unicast UDP",
    rows: &[
        Row {
            id: "REQ-1",
            level: Must,
            asks: "A source has one address and port outside, whatever the remote end",
            default: Not(ENDS),
            independent: Met,
            tests: shown![
                conformance::mapping::by_default_a_mapping_is_for_one_remote,
                conformance::independent::one_end_for_all_remotes,
                conformance::several::no_end_is_shared_whatever_the_workers,
            ],
        },
        Row::both(
            "REQ-2",
            Should,
            "All sources of a host have one address outside",
            Met,
            shown![conformance::mapping::a_host_has_one_address_outside],
        ),
        Row::both(
            "REQ-3",
            Must,
            "Two sources never share a port so that one loses it",
            Met,
            shown![
                conformance::mapping::no_two_flows_share_an_end,
                conformance::several::no_end_is_shared_whatever_the_workers,
            ],
        ),
        Row::both(
            "REQ-3a",
            Should,
            "A port up to 1023 becomes one up to 1023, one above becomes one above",
            Met,
            shown![conformance::mapping::a_port_is_kept_or_changed_within_its_class],
        ),
        Row::both(
            "REQ-4",
            Should,
            "An even port becomes an even one, an odd one an odd one",
            Partly("with `port_parity = true`; off by default, as RFC 7857 section 8 asks"),
            shown![conformance::mapping::parity_is_kept_when_asked_for],
        ),
        Row::both(
            "REQ-5",
            Must,
            "A mapping does not end in less than two minutes",
            Met,
            shown![
                conformance::timers::udp,
                conformance::timers::packets_of_both_directions_refresh,
            ],
        ),
        Row::both(
            "REQ-5a",
            May,
            "Shorter times for well-known destination ports",
            Inapplicable("all destination ports have the same times"),
            shown![],
        ),
        Row::both(
            "REQ-5b",
            May,
            "The time can be set",
            Met,
            shown![conformance::timers::times_can_be_set],
        ),
        Row::both(
            "REQ-5c",
            Should,
            "Five minutes or more by default",
            Partly("five for flows that were answered, two for others; both can be set"),
            shown![
                conformance::timers::udp,
                conformance::timers::times_can_be_set
            ],
        ),
        Row::both(
            "REQ-6",
            Must,
            "Packets from inside refresh a mapping",
            Met,
            shown![conformance::timers::packets_of_both_directions_refresh],
        ),
        Row::both(
            "REQ-6a",
            May,
            "Packets from outside refresh it too",
            Met,
            shown![conformance::timers::packets_of_both_directions_refresh],
        ),
        Row::both(
            "REQ-7",
            Must,
            "An address outside that comes by itself does not conflict with those inside",
            Inapplicable(
                "addresses outside are declared, and `check` refuses those of somebody else",
            ),
            shown![],
        ),
        Row {
            id: "REQ-8",
            level: Should,
            asks: "Anybody may send to a mapped port; where that is too much, any port of an address that was sent to",
            default: Not("the end that was sent to alone"),
            independent: Met,
            tests: shown![
                conformance::filtering::by_default_only_who_was_sent_to_answers,
                conformance::independent::who_may_send_to_a_mapped_port,
            ],
        },
        Row {
            id: "REQ-9",
            level: Must,
            asks: "Hosts inside reach each other by their ends outside",
            default: Partly(
                "what a rule or balancer leads inside; a mapped port lets in nobody that it was not used for",
            ),
            independent: Met,
            tests: shown![
                conformance::mapping::hairpin_to_what_a_rule_leads_inside,
                conformance::independent::hairpin_between_mapped_ends,
            ],
        },
        Row {
            id: "REQ-9a",
            level: Must,
            asks: "... and see each other's ends outside",
            default: Met,
            independent: Met,
            tests: shown![
                conformance::mapping::hairpin_to_what_a_rule_leads_inside,
                conformance::independent::hairpin_between_mapped_ends,
            ],
        },
        Row::both(
            "REQ-10",
            Should,
            "Application-level gateways are off",
            ALGS,
            shown![],
        ),
        Row::both("REQ-10a", Should, "... each for itself", ALGS, shown![]),
        Row::both(
            "REQ-11",
            Must,
            "Mapping and filtering do not change with time or conditions",
            Met,
            shown![
                conformance::mapping::the_translation_does_not_change,
                conformance::filtering::a_changed_port_is_filtered_as_a_kept_one,
            ],
        ),
        Row::both(
            "REQ-12",
            Must,
            "No ICMP message ends a mapping",
            Met,
            shown![conformance::errors::they_end_no_flow],
        ),
        Row::both(
            "REQ-12a",
            Should,
            "ICMP messages are not filtered by who sends them",
            Met,
            shown![conformance::errors::from_outside_they_reach_the_client_as_about_its_own_packet],
        ),
        Row::both(
            "REQ-12b",
            Should,
            "Destination unreachable is supported",
            Met,
            shown![conformance::errors::from_outside_they_reach_the_client_as_about_its_own_packet],
        ),
        Row::both(
            "REQ-13",
            Must,
            "The sender of a packet that is too large and may not be cut is told so",
            Met,
            shown![conformance::errors::too_large_packets_are_refused],
        ),
        Row::both(
            "REQ-13a",
            Must,
            "One that may be cut is, its pieces in order",
            Met,
            shown![conformance::errors::too_large_packets_are_cut],
        ),
        Row::both(
            "REQ-14",
            Must,
            "Fragments are translated, in order or not",
            Met,
            shown![
                conformance::errors::fragments_are_translated_in_any_order,
                fragments::later_pieces_wait_for_the_first,
            ],
        ),
        Row::both(
            "REQ-14a",
            Must,
            "A flood of fragments does not harm whole packets",
            Met,
            shown![
                fragments::attacks::floods_of_fragments_hurt_nobody_who_is_connected,
                fragments::attacks::too_many_pieces_of_one_datagram,
            ],
        ),
    ],
};
