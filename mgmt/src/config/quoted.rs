//! Places inside quoted strings.

use std::ops::Range;

/// Where a stretch of a string's value is in the file. `quoted` is the string in `text`, with its quotes; `within`
/// are bytes of its value. `None` where that takes more than knowing the escapes, as at lines that are joined.
pub(super) fn stretch(
    text: &str,
    quoted: Range<usize>,
    within: &Range<usize>,
) -> Option<Range<usize>> {
    let raw = text.get(quoted.clone())?;
    let quotes = if raw.starts_with("'''") || raw.starts_with("\"\"\"") {
        3
    } else {
        1
    };
    let mut from = quotes;
    if quotes == 3 {
        // A line break right after the quotes does not count.
        let rest = raw.get(quotes..)?;
        from += if rest.starts_with("\r\n") {
            2
        } else {
            usize::from(rest.starts_with('\n'))
        };
    }
    let body = raw.get(from..raw.len().checked_sub(quotes)?)?;
    let begin = quoted.start + from;
    if raw.starts_with('\'') {
        body.get(within.clone())?;
        return Some(begin + within.start..begin + within.end);
    }
    let start = raw_offset(body, within.start)?;
    let end = raw_offset(body, within.end)?;
    Some(begin + start..begin + end)
}

/// Where a byte of the value is in the text with escapes.
fn raw_offset(body: &str, wanted: usize) -> Option<usize> {
    let (mut raw, mut value) = (0, 0);
    while value < wanted {
        let rest = body.get(raw..)?;
        let c = rest.chars().next()?;
        let (raw_length, value_length) = if c == '\\' {
            escape(rest)?
        } else {
            (c.len_utf8(), c.len_utf8())
        };
        raw += raw_length;
        value += value_length;
    }
    (value == wanted).then_some(raw)
}

/// Bytes of an escape, and of what it stands for.
fn escape(text: &str) -> Option<(usize, usize)> {
    let digits = match text.as_bytes().get(1)? {
        b'b' | b't' | b'n' | b'f' | b'r' | b'e' | b'"' | b'\\' => return Some((2, 1)),
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        _ => return None,
    };
    let code = u32::from_str_radix(text.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, within: Range<usize>) -> Option<&str> {
        let quoted = text.find(['"', '\''])?..text.len();
        text.get(stretch(text, quoted, &within)?)
    }

    #[test]
    fn every_kind_of_string() {
        assert_eq!(found("match = 'ip4 && tpc'", 7..10), Some("tpc"));
        assert_eq!(found("match = \"ip4 && tpc\"", 7..10), Some("tpc"));
        assert_eq!(
            found(r#"match = "a == \"b\" && é\u00e9 c""#, 5..8),
            Some(r#"\"b\""#)
        );
        assert_eq!(
            found(r#"match = "a == \"b\" && é\u00e9 c""#, 17..18),
            Some("c")
        );
        assert_eq!(found("match = '''\nip4 &&\n tpc'''", 8..11), Some("tpc"));
        assert_eq!(found("match = \"\"\"\r\nip4\"\"\"", 0..3), Some("ip4"));
        assert_eq!(found("match = 'ip4'", 3..3), Some(""));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        assert_eq!(found("match = \"\"\"ip4 \\\n  tpc\"\"\"", 4..7), None);
        assert_eq!(found("match = 'ip4'", 2..9), None);
        assert_eq!(found("match = \"é\"", 1..2), None);
    }
}
