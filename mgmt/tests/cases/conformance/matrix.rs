//! What each RFC asks, what becomes of it in each way of mapping, and the tests that show it; the text of
//! `mgmt/docs/nat-conformance.md`.
//!
//! A row names test functions, so one that does not exist does not compile, and the matrix runs all of them before it
//! compares its text. `SLUICE_GOLDEN=update` writes the text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{rfc4787, rfc5382, rfc5508, rfc6888, rfc7857};

/// How strongly it is asked (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Must,
    Should,
    May,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Met,
    /// Not quite, and why.
    Partly(&'static str),
    /// On purpose, and why.
    Not(&'static str),
    /// There is nothing that it could be asked of.
    Inapplicable(&'static str),
}

pub use Level::{May, Must, Should};
pub use Status::{Inapplicable, Met, Not, Partly};

/// A test that shows it.
#[derive(Clone, Copy)]
pub struct Shown {
    pub name: &'static str,
    pub run: fn(),
}

/// Test functions, by their paths from `cases`.
macro_rules! shown {
    ($($module:ident :: $($rest:ident)::+),* $(,)?) => {
        &[$($crate::cases::conformance::matrix::Shown {
            name: concat!(stringify!($module), $("::", stringify!($rest)),+),
            run: $crate::cases::$module::$($rest)::+,
        }),*]
    };
}
pub(super) use shown;

/// A requirement.
pub struct Row {
    pub id: &'static str,
    pub level: Level,
    /// In our words.
    pub asks: &'static str,
    /// By address and port of the remote end.
    pub default: Status,
    /// `mapping = "endpoint-independent"`.
    pub independent: Status,
    pub tests: &'static [Shown],
}

impl Row {
    /// The same in both.
    pub const fn both(
        id: &'static str,
        level: Level,
        asks: &'static str,
        status: Status,
        tests: &'static [Shown],
    ) -> Row {
        Row {
            id,
            level,
            asks,
            default: status,
            independent: status,
            tests,
        }
    }
}

/// The requirements of an RFC.
pub struct Document {
    pub number: u16,
    pub title: &'static str,
    pub rows: &'static [Row],
}

const DOCUMENTS: [&Document; 5] = [
    &rfc4787::DOCUMENT,
    &rfc5382::DOCUMENT,
    &rfc5508::DOCUMENT,
    &rfc6888::DOCUMENT,
    &rfc7857::DOCUMENT,
];

const HEAD: &str = "\
# What RFCs ask of a NAT

Written by the tests (`mgmt/tests/cases/conformance`), which run every test named here first:
`SLUICE_GOLDEN=update cargo test -p sluice-mgmt --no-default-features --test packets matrix`.

*Default* is a rule of type `snat` as it is: what a source is called outside depends on the remote end, and that end alone
may answer. *Independent* is one with `mapping = \"endpoint-independent\"`, and `filtering` as the row says or
`\"endpoint-independent\"`. The STUN client of `scripts/lab/test_stun.py` sees the same from outside.

No MUST is open in independent mode.
";

fn cell(status: Status) -> String {
    match status {
        Met => "met".to_owned(),
        Partly(why) => format!("partly: {why}"),
        Not(why) => format!("not: {why}"),
        Inapplicable(why) => format!("does not apply: {why}"),
    }
}

fn text() -> String {
    let mut text = HEAD.to_owned();
    for document in DOCUMENTS {
        writeln!(text, "\n## RFC {}: {}\n", document.number, document.title).unwrap();
        text.push_str(
            "| | | asks | default | independent | shown by |\n|---|---|---|---|---|---|\n",
        );
        for row in document.rows {
            let level = match row.level {
                Must => "MUST",
                Should => "SHOULD",
                May => "MAY",
            };
            let tests: Vec<String> = row
                .tests
                .iter()
                .map(|test| format!("`{}`", test.name))
                .collect();
            writeln!(
                text,
                "| {} | {level} | {} | {} | {} | {} |",
                row.id,
                row.asks,
                cell(row.default),
                cell(row.independent),
                tests.join(", ")
            )
            .unwrap();
        }
    }
    text
}

fn check(document: &Document, row: &Row) {
    let name = format!("RFC {} {}", document.number, row.id);
    let claims = |status| matches!(status, Met | Partly(_) | Not(_));
    assert!(
        !row.tests.is_empty() || !(claims(row.default) || claims(row.independent)),
        "{name}: nothing shows it"
    );
    let open = matches!(row.independent, Partly(_) | Not(_));
    assert!(!(row.level == Must && open), "{name}: a MUST is open");
}

#[test]
fn matrix() {
    let mut tests: BTreeMap<&str, fn()> = BTreeMap::new();
    for document in DOCUMENTS {
        for row in document.rows {
            check(document, row);
            tests.extend(row.tests.iter().map(|test| (test.name, test.run)));
        }
    }
    for run in tests.values() {
        run();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/nat-conformance.md");
    let text = text();
    if std::env::var_os("SLUICE_GOLDEN").is_some_and(|value| value == "update") {
        std::fs::write(path, &text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == text,
        "{path} is stale: SLUICE_GOLDEN=update writes it anew"
    );
}
