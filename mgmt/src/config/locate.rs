//! From a place in the topology to a place in the file.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a path leads, or as far as it goes: a missing key is shown by its table.
///
/// `index` is the element of the one list on the path. `None` when not even the first part is
/// there.
pub(super) fn locate(
    root: &DeTable<'_>,
    path: &[impl AsRef<str>],
    index: Option<usize>,
) -> Option<Range<usize>> {
    let mut table = root;
    let mut found = None;
    let mut parent = "";
    for part in path {
        let part = part.as_ref();
        let Some((key, value)) = table.get_key_value(part) else {
            break;
        };
        let value = element(value, index);
        // In a table of priorities the name is what a problem is about.
        let of_name = parent == "gateway_chassis" || value.span().is_empty();
        found = Some(if of_name { key.span() } else { value.span() });
        parent = part;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

fn element<'a, 'd>(
    value: &'a Spanned<DeValue<'d>>,
    index: Option<usize>,
) -> &'a Spanned<DeValue<'d>> {
    match (value.get_ref(), index) {
        (DeValue::Array(array), Some(index)) => array.get(index).unwrap_or(value),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_tables_lists_and_stops_where_the_path_does() {
        let text = "[router.r1]\nchassis = \"c\"\n[[router.r1.route]]\nip_prefix = \"a\"\n\
                    [[router.r1.route]]\nip_prefix = \"b\"\n\
                    [router.r1.port.p]\nnetworks = [\"x\", \"y\"]\ngateway_chassis = { gw1 = 20 }\n";
        let root = DeTable::parse(text).unwrap();
        let at = |path: &[&str], index| locate(root.get_ref(), path, index).map(|span| &text[span]);
        assert_eq!(at(&["router", "r1", "chassis"], None), Some("\"c\""));
        assert_eq!(
            at(&["router", "r1", "route", "ip_prefix"], Some(1)),
            Some("\"b\"")
        );
        assert_eq!(
            at(&["router", "r1", "route", "nexthop"], Some(1)),
            Some("[[router.r1.route]]")
        );
        assert_eq!(
            at(&["router", "r1", "port", "p", "networks"], Some(1)),
            Some("\"y\"")
        );
        assert_eq!(
            at(
                &["router", "r1", "port", "p", "gateway_chassis", "gw1"],
                None
            ),
            Some("gw1")
        );
        assert_eq!(
            at(&["router", "r1", "port", "p", "mac"], None),
            Some("[router.r1.port.p]")
        );
        assert_eq!(at(&["router", "r1"], None), Some("[router.r1]"));
        assert_eq!(at(&["switch", "s"], None), None);
    }
}
