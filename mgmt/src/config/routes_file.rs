//! Routes by the hundred thousand: one a line, read as a stream.
//!
//! ```text
//! # comment
//! 203.0.113.0/24 via 10.20.0.1
//! 2001:db8::/32 via 2001:db8:ffff::1 dev r1-public
//! blackhole 192.0.2.0/24
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::diagnostic::Source;
use super::section::Section;
use super::values::{Fault, Prefix, Value};
use crate::topology::{Nexthop, Route, RoutePolicy};

/// After so many wrong lines the file is not what it should be.
const MOST_ERRORS: usize = 50;

/// Where the routes of a file are in it.
pub(super) struct RouteLines {
    pub path: PathBuf,
    /// The line of each route, from 1.
    pub numbers: Vec<u32>,
}

/// Appends the routes of a file; what is wrong is noted in the section that names the file.
pub(super) fn read(path: &Path, section: Section<'_, '_>, routes: &mut Vec<Route>) -> RouteLines {
    let mut lines = RouteLines {
        path: path.to_owned(),
        numbers: Vec::new(),
    };
    if let Err(error) = stream(path, section, routes, &mut lines.numbers) {
        let message = format!("cannot read {}: {error}", path.display());
        let help = "the path is relative to the topology file".to_owned();
        section.error(section.span_of("routes_file"), message, Some(help));
    }
    lines
}

fn stream(
    path: &Path,
    section: Section<'_, '_>,
    routes: &mut Vec<Route>,
    numbers: &mut Vec<u32>,
) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut line = Vec::new();
    let mut number = 0_u32;
    let mut errors = 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        number = number.saturating_add(1);
        // Text that is not UTF-8 is no route either: it is refused below with its line.
        let text = String::from_utf8_lossy(&line);
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
                    return Ok(());
                }
            }
        }
    }
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

/// The text of some lines of a file, for errors that came to light later.
pub(super) fn excerpts(path: &Path, wanted: &[u32]) -> BTreeMap<u32, Source> {
    let mut found = BTreeMap::new();
    let Ok(file) = File::open(path) else {
        return found;
    };
    let last = wanted.iter().copied().max().unwrap_or(0);
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    for (number, line) in (1..=last).zip(lines) {
        if wanted.contains(&number) {
            let text = String::from_utf8_lossy(&line);
            found.insert(number, excerpt(path, text.trim_end_matches('\r'), number));
        }
    }
    found
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
