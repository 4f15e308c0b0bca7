//! Common requirements for carrier-grade NATs.

use super::matrix::*;

pub const DOCUMENT: Document = Document {
    number: 6888,
    title: "addresses shared by many subscribers",
    rows: &[
        Row {
            id: "REQ-1",
            level: Must,
            asks: "A protocol's own requirements are fulfilled",
            default: Partly("but for mapping and filtering, see the other tables"),
            independent: Met,
            tests: shown![
                conformance::mapping::protocols_are_apart,
                conformance::independent::one_end_for_all_remotes,
            ],
        },
        Row::both(
            "REQ-2",
            Must,
            "All sources of a subscriber have one address outside",
            Met,
            shown![conformance::mapping::a_host_has_one_address_outside],
        ),
        Row::both(
            "REQ-3",
            Must,
            "Addresses outside need not be contiguous",
            Met,
            shown![conformance::mapping::addresses_outside_need_not_be_contiguous],
        ),
        Row::both(
            "REQ-4, 4a",
            Must,
            "The ports of one subscriber can be limited",
            Met,
            shown![conformance::exhaustion::a_client_has_a_limit],
        ),
        Row::both(
            "REQ-4b",
            May,
            "... for each protocol",
            Inapplicable("`per_source` is for all protocols"),
            shown![],
        ),
        Row::both(
            "REQ-4c",
            Should,
            "... and how often it opens new ones",
            Not("how many there are is limited, not how often they are made"),
            shown![conformance::exhaustion::a_client_has_a_limit],
        ),
        Row::both(
            "REQ-5, 5a",
            Should,
            "The memory of one subscriber can be limited",
            Met,
            shown![conformance::exhaustion::a_client_has_a_limit],
        ),
        Row::both(
            "REQ-5b",
            Should,
            "... and the rate at which it is taken",
            Not("as REQ-4c"),
            shown![conformance::exhaustion::a_client_has_a_limit],
        ),
        Row::both(
            "REQ-6",
            Must,
            "Translation can be turned off for destinations",
            Met,
            shown![
                conformance::mapping::translation_can_be_turned_off_for_destinations,
                dnat::rules_for_some_of_the_world,
            ],
        ),
        Row {
            id: "REQ-7",
            level: Should,
            asks: "Anybody may send to a mapped port",
            default: Not("the end that was sent to alone"),
            independent: Met,
            tests: shown![
                conformance::filtering::by_default_only_who_was_sent_to_answers,
                conformance::independent::who_may_send_to_a_mapped_port,
            ],
        },
        Row::both(
            "REQ-8",
            Should,
            "A port that was given back rests for 120 seconds, and how long can be set",
            Partly("with `port_hold_down = 120`; the default is 0"),
            shown![
                conformance::exhaustion::a_port_that_was_given_back_rests,
                limits::ports_are_held_down,
            ],
        ),
        Row::both(
            "REQ-9",
            Must,
            "Subscribers control mappings by a protocol, best by PCP",
            Inapplicable(
                "there is no subscriber other than who declares the topology, whose rules of destinations are explicit mappings",
            ),
            shown![conformance::mapping::mappings_can_be_declared],
        ),
        Row::both(
            "REQ-10",
            Should,
            "It can be managed, best by a standard",
            Partly("by its files, `sluicectl` and metrics"),
            shown![conformance::mapping::mappings_can_be_declared],
        ),
        Row::both(
            "REQ-11a",
            Must,
            "A packet that gets no mapping is dropped",
            Met,
            shown![conformance::exhaustion::without_a_port_the_sender_is_told],
        ),
        Row::both(
            "REQ-11b",
            Should,
            "... and its sender is told: host unreachable",
            Met,
            shown![
                conformance::exhaustion::without_a_port_the_sender_is_told,
                conformance::exhaustion::a_client_has_a_limit,
            ],
        ),
        Row {
            id: "REQ-11c",
            level: Must,
            asks: "... and no mapping that exists ends for it",
            default: Partly("flows that were never answered give way when the table is full"),
            independent: Met,
            tests: shown![
                conformance::exhaustion::without_a_port_the_sender_is_told,
                conformance::independent::a_full_table_ends_no_mapping,
            ],
        },
        Row::both(
            "REQ-12",
            Should,
            "Destinations are not logged",
            Inapplicable("no mapping is logged"),
            shown![],
        ),
        Row {
            id: "REQ-13",
            level: Should,
            asks: "Ports are used to the last",
            default: Met,
            independent: Met,
            tests: shown![
                conformance::exhaustion::all_ports_are_used,
                conformance::mapping::by_default_a_mapping_is_for_one_remote,
            ],
        },
        Row::both(
            "REQ-14",
            Should,
            "Port allocation needs little log",
            Inapplicable("no mapping is logged"),
            shown![],
        ),
        Row::both(
            "REQ-15",
            Should,
            "Ports are hard to guess",
            Met,
            shown![conformance::mapping::chosen_ports_are_unpredictable],
        ),
    ],
};
