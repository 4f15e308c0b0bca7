//! What is said of wrong expressions.

use super::{ip4, parsed, read};

#[test]
fn what_is_wrong_is_said_with_its_place() {
    // Text, where the fault is, what is wrong, what would mend it.
    let cases = [
        (
            "",
            "",
            "a condition expected, not the end",
            "1 is true of every packet",
        ),
        (
            "tpc.dst == 80",
            "tpc.dst",
            "there is no field `tpc.dst`",
            "did you mean `tcp.dst`?",
        ),
        (
            "ip4 and tcp",
            "and",
            "&& or || expected, not `and`",
            "join conditions with && or ||",
        ),
        ("not ip4", "not", "there is no field `not`", "not is !"),
        (
            "ip4 && ip6 || tcp",
            "||",
            "&& and || without parentheses",
            "write a && (b || c), or (a && b) || c, as it is meant",
        ),
        (
            "!tcp.dst == 80",
            "!",
            "`!` before a comparison",
            "put the comparison in parentheses: !(...)",
        ),
        (
            "!!ip4",
            "!",
            "a condition expected, not `!`",
            "two `!` cancel each other: remove both",
        ),
        (
            "tcp.dst = 80",
            "=",
            "an operator expected, not `=`",
            "equality is ==",
        ),
        (
            "tcp.dst",
            "tcp.dst",
            "`tcp.dst` is a number",
            "compare it, perhaps with != 0",
        ),
        (
            "tcp.dst == 65536",
            "65536",
            "65536 has 17 bits, and `tcp.dst` 16",
            "0 to 65535",
        ),
        (
            "ip.dscp == 64",
            "64",
            "64 has 7 bits, and `ip.dscp` 6",
            "0 to 63",
        ),
        (
            "tcp.dst == -1",
            "-",
            "a value expected, not `-`",
            "such as 80 or 10.0.0.0/8",
        ),
        (
            "tcp.dst == 80 443",
            "443",
            "&& or || expected, not `443`",
            "join conditions with && or ||",
        ),
        (
            "ip4.src == 10.0.0.1/24",
            "10.0.0.1/24",
            "`10.0.0.1/24` has bits set that its mask leaves out",
            "write 10.0.0.0/24",
        ),
        (
            "ip4.src == 10.0.0.0/33",
            "10.0.0.0/33",
            "a prefix of an IPv4 address is at most 32 long",
            "/0 to /32",
        ),
        (
            "ip4.src == 10.0.0",
            "10.0.0",
            "`10.0.0` is neither a number nor an address",
            "such as 80, 0x800, 10.0.0.1, 10.0.0.0/8, fd00::/8 or 02:ac:10:ff:00:10",
        ),
        (
            "ip4.src == fd00::1",
            "fd00::1",
            "an IPv6 address cannot be compared with `ip4.src`, which has 32 bits",
            "did you mean `ip6.src`?",
        ),
        (
            "ip6.dst == {fd00::1, 10.0.0.1}",
            "10.0.0.1",
            "an IPv4 address cannot be compared with `ip6.dst`, which has 128 bits",
            "did you mean `ip4.dst`?",
        ),
        (
            "ip4.src == $six",
            "$six",
            "an IPv6 address cannot be compared with `ip4.src`, which has 32 bits",
            "did you mean `ip6.src`?",
        ),
        (
            "ip4.src == $webs",
            "$webs",
            "there is no address set `webs`",
            "did you mean `$web`?",
        ),
        (
            "ip4.src == $other",
            "$other",
            "there is no address set `other`",
            "declare [address_set.other]",
        ),
        (
            "ip4.src == $",
            "$",
            "`$` without a name",
            "an address set is $NAME",
        ),
        (
            "ip4.src == {}",
            "}",
            "a value expected, not `}`",
            "write at least one between { and }",
        ),
        (
            "ip4.src == {10.0.0.1",
            "",
            "a value expected, not the end",
            "such as 80 or 10.0.0.0/8",
        ),
        (
            "ip4.src < $web",
            "$web",
            "a set is neither larger nor smaller",
            "use == or !=",
        ),
        (
            "ip4.src < 10.0.0.0/8",
            "10.0.0.0/8",
            "a masked value is neither larger nor smaller",
            "use == or !=",
        ),
        (
            "ip.proto < 6",
            "ip.proto",
            "`ip.proto` is neither larger nor smaller",
            "use ==",
        ),
        (
            "ip.proto != 6",
            "ip.proto",
            "`ip.proto` is compared for equality only",
            "say which values are meant, or let a rule of higher priority take the others",
        ),
        (
            "!(ip.proto == 6)",
            "ip.proto",
            "`ip.proto` is compared for equality only",
            "say which values are meant, or let a rule of higher priority take the others",
        ),
        (
            "!tcp",
            "tcp",
            "that `tcp` does not hold cannot be asked",
            "say what holds instead, or let a rule of higher priority take these packets",
        ),
        (
            "tcp == 0",
            "tcp",
            "that `tcp` does not hold cannot be asked",
            "say what holds instead, or let a rule of higher priority take these packets",
        ),
        (
            "inport",
            "",
            "== or != expected, not the end",
            "such as inport == \"vm1\"",
        ),
        (
            "inport == vm1",
            "vm1",
            "a value expected, not `vm1`",
            "a port is named in quotes: \"vm1\"",
        ),
        (
            "inport == \"vm9\"",
            "\"vm9\"",
            "there is no port `vm9`",
            "declare it",
        ),
        (
            "inport == @pg2",
            "@pg2",
            "there is no port group `pg2`",
            "did you mean `@pg1`?",
        ),
        (
            "inport == 3",
            "3",
            "`inport` is a port and not a number",
            "compare it with \"NAME\" or @GROUP",
        ),
        (
            "tcp.dst == \"vm1\"",
            "\"vm1\"",
            "`tcp.dst` is a number and not a port",
            "compare it with a number or an address",
        ),
        (
            "inport != \"vm1\"",
            "inport",
            "`inport` is compared for equality only",
            "say which values are meant, or let a rule of higher priority take the others",
        ),
        (
            "inport == 'vm1'",
            "'",
            "unexpected `'`",
            "port names are in double quotes; write match = '...' around them",
        ),
        (
            "inport == \"vm1",
            "\"",
            "the quoted name does not end",
            "add \"",
        ),
        (
            "outport == \"vm1\"",
            "\"vm1\"",
            "no output port is known yet",
            "remove it",
        ),
        (
            "ip4.src[30..40] == 1",
            "ip4.src[30..40]",
            "`ip4.src` has no bits 30 to 40",
            "0 to 31, the lower one first",
        ),
        (
            "ip.proto[0] == 1",
            "ip.proto[0]",
            "single bits of `ip.proto` mean nothing",
            "compare `ip.proto` as a whole",
        ),
        (
            "inport[0] == 1",
            "inport[0]",
            "`inport` has no bits",
            "compare it with a port's name",
        ),
        (
            "1 < tcp.dst > 3",
            "1 < tcp.dst > 3",
            "not a range",
            "write low <= field <= high, with < or <=, or the other way round",
        ),
        (
            "2",
            "",
            "an operator expected, not the end",
            "compare the value with a field",
        ),
        ("(ip4", "", "`)` expected, not the end", "add `)`"),
        ("ip4)", ")", "&& or || expected, not `)`", "remove `)`"),
        ("ip4 & tcp", "&", "unexpected `&`", "and is &&"),
        (
            "ip4 /* a\n*/",
            "/*",
            "the comment does not end",
            "a comment ends with */ in its line",
        ),
        (
            "ct.new && ip4",
            "ct.new",
            "`ct.new` is not known here: the state of a connection cannot be matched",
            "actions allow and allow-related track connections; answers are then let in by themselves",
        ),
        (
            "reg0 == 1",
            "reg0",
            "`reg0` is not known here: registers are between the stages of OVN's pipeline",
            "remove it",
        ),
        (
            "is_chassis_resident(\"a\")",
            "is_chassis_resident",
            "`is_chassis_resident` is not known here: a rule is the same on every chassis",
            "remove it",
        ),
        (
            "tcp.dst == 80abc",
            "80abc",
            "`80abc` is neither a number nor an address",
            "such as 80, 0x800, 10.0.0.1, 10.0.0.0/8, fd00::/8 or 02:ac:10:ff:00:10",
        ),
    ];
    for (text, at, message, mend) in cases {
        let fault = read(text).expect_err(text);
        assert_eq!(fault.message, message, "{text}");
        assert_eq!(fault.mend.as_deref(), Some(mend), "{text}");
        assert_eq!(
            text.get(fault.span.clone()),
            Some(at),
            "{text}: {:?}",
            fault.span
        );
    }
}

#[test]
fn positions_count_lines_and_characters() {
    let text = "ip4 &&\n /* é */ tpc";
    let fault = read(text).unwrap_err();
    assert_eq!(fault.position(text), (2, 10));
}

#[test]
fn parentheses_are_bounded() {
    let nested = |n: usize| "(".repeat(n) + "ip4" + &")".repeat(n);
    assert_eq!(parsed(&nested(100)), ip4());
    let fault = read(&nested(101)).unwrap_err();
    assert_eq!(fault.message, "too many parentheses inside each other");
}

mod any_text {
    use proptest::prelude::*;

    use super::super::read;

    const WORDS: [&str; 24] = [
        "ip4",
        "tcp.dst",
        "==",
        "!=",
        "<",
        "&&",
        "||",
        "!",
        "(",
        ")",
        "{",
        "}",
        ",",
        "[0]",
        "80",
        "10.0.0.0/8",
        "inport",
        "\"vm1\"",
        "$web",
        "@pg1",
        "..",
        "é",
        "//",
        "0x",
    ];

    proptest! {
        #[test]
        fn is_answered(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..14), tight in prop::bool::ANY) {
            let text = words.join(if tight { "" } else { " " });
            if let Err(fault) = read(&text) {
                prop_assert!(text.get(fault.span.clone()).is_some(), "{:?} of {}", fault.span, text);
                let (line, column) = fault.position(&text);
                prop_assert!(line >= 1 && column >= 1);
            }
        }

        #[test]
        fn characters_are_answered(text in "\\PC{0,40}") {
            if let Err(fault) = read(&text) {
                prop_assert!(text.get(fault.span).is_some());
            }
        }
    }
}
