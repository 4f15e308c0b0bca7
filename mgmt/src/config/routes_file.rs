//! Routes by the hundred thousand: one a line.
//!
//! ```text
//! # comment
//! 203.0.113.0/24 via 10.20.0.1
//! 2001:db8::/32 via 2001:db8:ffff::1 dev r1-public
//! blackhole 192.0.2.0/24
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::diagnostic::Source;
use super::section::Section;
use super::values::{Fault, Prefix, Value};
use crate::topology::{Nexthop, Route, RoutePolicy};

/// After so many wrong lines the file is not what it should be.
const MOST_ERRORS: usize = 50;

/// A routes file, and where the routes are in it.
pub(super) struct RouteLines {
    pub path: PathBuf,
    /// What the file held.
    pub bytes: Vec<u8>,
    /// The line of each route, from 1.
    pub numbers: Vec<u32>,
}

/// Appends the routes of a file; what is wrong is noted in the section that names the file.
pub(super) fn read(path: &Path, section: Section<'_, '_>, routes: &mut Vec<Route>) -> RouteLines {
    let bytes = std::fs::read(path).unwrap_or_else(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        let help = "the path is relative to the topology file".to_owned();
        section.error(section.span_of("routes_file"), message, Some(help));
        Vec::new()
    });
    let numbers = read_lines(path, &bytes, section, routes);
    RouteLines {
        path: path.to_owned(),
        bytes,
        numbers,
    }
}

fn read_lines(
    path: &Path,
    bytes: &[u8],
    section: Section<'_, '_>,
    routes: &mut Vec<Route>,
) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut errors = 0;
    for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1_u32..) {
        // Text that is not UTF-8 is no route either: it is refused below with its line.
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        match route(text) {
            Ok(None) => {}
            Ok(Some(route)) => {
                routes.push(route);
                numbers.push(number);
            }
            Err(fault) => {
                section.error_in_line(excerpt(path, text, number), fault.message, fault.help);
                errors += 1;
                if errors == MOST_ERRORS {
                    break;
                }
            }
        }
    }
    numbers
}

fn excerpt(path: &Path, text: &str, number: u32) -> Source {
    Source {
        name: path.display().to_string(),
        text: text.to_owned(),
        first_line: number as usize,
    }
}

fn route(line: &str) -> Result<Option<Route>, Fault> {
    let text = line.split('#').next().unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    let Some(first) = words.next() else {
        return Ok(None);
    };
    if first == "blackhole" {
        let prefix = words.next().ok_or_else(|| malformed(text))?;
        return finish(read_prefix(prefix)?, Nexthop::Discard, None, words, text);
    }
    let prefix = read_prefix(first)?;
    let (Some("via"), Some(nexthop)) = (words.next(), words.next()) else {
        return Err(malformed(text));
    };
    let nexthop = nexthop.parse().map(Nexthop::Ip).map_err(|_| Fault {
        message: format!("`{nexthop}` is not an IP address"),
        help: None,
    })?;
    let port = match words.next() {
        None => None,
        Some("dev") => Some(words.next().ok_or_else(|| malformed(text))?.to_owned()),
        Some(_) => return Err(malformed(text)),
    };
    finish(prefix, nexthop, port, words, text)
}

fn finish<'a>(
    prefix: IpNet,
    nexthop: Nexthop,
    output_port: Option<String>,
    mut rest: impl Iterator<Item = &'a str>,
    text: &str,
) -> Result<Option<Route>, Fault> {
    if rest.next().is_some() {
        return Err(malformed(text));
    }
    Ok(Some(Route {
        prefix,
        nexthop,
        output_port,
        policy: RoutePolicy::DstIp,
    }))
}

fn read_prefix(text: &str) -> Result<IpNet, Fault> {
    match text {
        "default" => Err(Fault {
            message: "`default` does not say of which family".to_owned(),
            help: Some("write 0.0.0.0/0 or ::/0".to_owned()),
        }),
        _ => Prefix::read(text).map(|prefix| prefix.0),
    }
}

fn malformed(text: &str) -> Fault {
    Fault {
        message: format!("`{}` is not a route", text.trim()),
        help: Some(
            "PREFIX via NEXTHOP, PREFIX via NEXTHOP dev PORT, or blackhole PREFIX".to_owned(),
        ),
    }
}

impl RouteLines {
    /// The text of some lines, for errors that came to light later.
    pub(super) fn excerpts(&self, wanted: &[u32]) -> BTreeMap<u32, Source> {
        let lines = self.bytes.split(|byte| *byte == b'\n').zip(1_u32..);
        let wanted = lines.filter(|(_, number)| wanted.contains(number));
        let source = |(line, number)| {
            let text = String::from_utf8_lossy(line);
            let text = text.trim_end_matches('\r');
            (number, excerpt(&self.path, text, number))
        };
        wanted.map(source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Option<Route> {
        route(line).unwrap_or_else(|fault| panic!("{line}: {}", fault.message))
    }

    #[test]
    fn lines() {
        let expected = |prefix: &str, nexthop, port: Option<&str>| {
            Some(Route {
                prefix: prefix.parse().unwrap(),
                nexthop,
                output_port: port.map(str::to_owned),
                policy: RoutePolicy::DstIp,
            })
        };
        let via = |ip: &str| Nexthop::Ip(ip.parse().unwrap());
        assert_eq!(read_line(""), None);
        assert_eq!(read_line("  \t # nothing"), None);
        assert_eq!(
            read_line("10.0.0.0/8 via 192.168.0.1 # note"),
            expected("10.0.0.0/8", via("192.168.0.1"), None)
        );
        assert_eq!(
            read_line("\t fd00::/8   via fe80::1 dev p1"),
            expected("fd00::/8", via("fe80::1"), Some("p1"))
        );
        assert_eq!(
            read_line("blackhole 10.1.1.1"),
            expected("10.1.1.1/32", Nexthop::Discard, None)
        );
    }

    #[test]
    fn wrong_lines() {
        let cases = [
            ("10.0.0.0/8", "is not a route"),
            ("10.0.0.0/8 via", "is not a route"),
            ("10.0.0.0/8 dev p1", "is not a route"),
            ("10.0.0.0/8 via 1.1.1.1 dev", "is not a route"),
            ("10.0.0.0/8 via 1.1.1.1 dev p1 metric 5", "is not a route"),
            ("10.0.0.0/8 via 1.1.1.1 metric 5", "is not a route"),
            ("blackhole", "is not a route"),
            ("blackhole 10.0.0.0/8 via 1.1.1.1", "is not a route"),
            ("10.0.0.0/33 via 1.1.1.1", "neither a prefix"),
            ("10.0.0.0/8 via 1.1.1", "is not an IP address"),
            ("default via 1.1.1.1", "of which family"),
            ("\u{fffd}\u{fffd}", "neither a prefix"),
        ];
        for (line, message) in cases {
            let fault = route(line).expect_err(line);
            assert!(fault.message.contains(message), "{line}: {}", fault.message);
        }
    }
}
