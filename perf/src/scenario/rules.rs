//! Many ACLs, of which a scenario's packets fit the last ones: those that let them and their answers pass.

use std::fmt::Write as _;

use super::names::list;
use super::nat::outside_host;

/// Sets of addresses that the rules name.
const SETS: u32 = 8;

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// ACLs of a switch, of both directions.
    count: u32,
    /// Addresses of each set that they name; without, they name prefixes.
    entries: u32,
}

impl Rules {
    /// None.
    pub(super) const NONE: Rules = Rules {
        count: 0,
        entries: 0,
    };
    /// A thousand, by prefix.
    pub(super) const SOME: Rules = Rules {
        count: 1_000,
        entries: 0,
    };
    /// Ten thousand, by sets of ten thousand.
    pub(super) const MANY: Rules = Rules {
        count: 10_000,
        entries: 10_000,
    };

    /// Them, for a switch. What is sent to hosts outside by `port` fits the addresses of rules, but not their ports.
    pub(super) fn text(self, switch: &str, port: u16) -> String {
        let mut text = String::new();
        if self.count == 0 {
            return text;
        }
        if self.entries > 0 {
            for set in 0..SETS {
                // Hosts that flows go to, so that many rules nearly fit.
                let hosts = (0..self.entries).map(|n| outside_host(n * SETS + set).to_string());
                let mut hosts: Vec<String> = hosts.collect();
                hosts.sort_unstable();
                hosts.dedup();
                let _ = write!(text, "[address_set.s{set}]\naddresses = {}\n", list(hosts));
            }
        }
        let (first, last) = (u32::from(port) + 1, u32::from(u16::MAX) - u32::from(port));
        for number in 0..self.count - 2 {
            let outward = number % 2 == 0;
            let (direction, far) = match outward {
                true => ("from-lport", "dst"),
                false => ("to-lport", "src"),
            };
            let address = match self.entries {
                0 => format!("8.{}.0.0/16", number % 256),
                _ => format!("$s{}", number % SETS),
            };
            let _ = write!(
                text,
                "[[switch.{switch}.acl]]\ndirection = \"{direction}\"\npriority = {}\n\
                 match = 'ip4.{far} == {address} && udp.{far} == {}'\naction = \"drop\"\n",
                1_000 + number % 30_000,
                first + number * 5 % last,
            );
        }
        for (direction, near) in [("from-lport", "src"), ("to-lport", "dst")] {
            let _ = write!(
                text,
                "[[switch.{switch}.acl]]\ndirection = \"{direction}\"\npriority = 10\n\
                 match = 'ip4.{near} == 192.168.0.0/16'\naction = \"allow-related\"\n"
            );
        }
        text
    }
}
