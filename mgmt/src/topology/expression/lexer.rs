//! From text to words.

use std::ops::Range;

use super::constant::Constant;
use super::fault::Fault;

/// A word of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A field, predicate or function.
    Name(&'t str),
    /// A number or address.
    Constant(Constant),
    /// A quoted text.
    Text(String),
    /// `$name`
    AddressSet(&'t str),
    /// `@name`
    PortGroup(&'t str),
    /// An operator or a bracket.
    Mark(&'static str),
    /// Nothing is left.
    End,
}

/// Longer ones first.
const MARKS: [&str; 19] = [
    "==", "!=", "<=", ">=", "&&", "||", "..", "<", ">", "!", "(", ")", "[", "]", "{", "}", ",",
    "=", "-",
];

/// The words of a text with where they are; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, Range<usize>)>, Fault> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space()?;
        let start = lexer.at;
        let token = lexer.next()?;
        let end = token == Token::End;
        tokens.push((token, start..lexer.at));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The rest of the text up to the first character that is not `wanted`.
    fn while_(&self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn fault(&self, length: usize, message: impl Into<String>, mend: &str) -> Fault {
        Fault::new(self.at..self.at + length, message).mend(mend)
    }

    fn skip_space(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            let length = if rest.starts_with(char::is_whitespace) {
                rest.len() - rest.trim_start().len()
            } else if rest.starts_with("//") {
                self.while_(|c| c != '\n').len()
            } else if rest.starts_with("/*") {
                let line = self.while_(|c| c != '\n');
                let end = line.get(2..).and_then(|line| line.find("*/"));
                let Some(end) = end else {
                    let mend = "a comment ends with */ in its line";
                    return Err(self.fault(2, "the comment does not end", mend));
                };
                end + 4
            } else {
                return Ok(());
            };
            self.at += length;
        }
    }

    fn next(&mut self) -> Result<Token<'t>, Fault> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        if first == '"' {
            return self.quoted();
        }
        if first == '$' || first == '@' {
            return self.reference(first);
        }
        if let Some(length) = self.number_length() {
            return self.constant(length);
        }
        if begins_name(first) && !rest.starts_with("..") {
            let name = self.while_(continues_name);
            self.at += name.len();
            return Ok(Token::Name(name));
        }
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            self.at += mark.len();
            return Ok(Token::Mark(mark));
        }
        let mend = match first {
            '&' => "and is &&",
            '|' => "or is ||",
            '\'' => "port names are in double quotes; write match = '...' around them",
            '/' => "a mask follows its number without a space, as in 10.0.0.0/8",
            _ => "see the expressions in configs/README.md",
        };
        Err(self.fault(first.len_utf8(), format!("unexpected `{first}`"), mend))
    }

    /// How long the number or address here is, if there is one.
    fn number_length(&self) -> Option<usize> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        let mut length = 0;
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            length = 2 + hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        } else {
            let bytes = rest.as_bytes();
            for (at, byte) in bytes.iter().enumerate() {
                // A dot of two is a range of bits.
                let dot = *byte == b'.' && bytes.get(at + 1) != Some(&b'.');
                if !(byte.is_ascii_hexdigit() || *byte == b':' || dot) {
                    break;
                }
                length = at + 1;
            }
        }
        let run = rest.get(..length)?;
        (first.is_ascii_digit() || run.contains(':')).then_some(length)
    }

    fn constant(&mut self, length: usize) -> Result<Token<'t>, Fault> {
        let begin = self.at;
        self.at += length;
        let masked = self.rest().strip_prefix('/');
        if masked.is_some_and(|mask| mask.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':'))
        {
            self.at += 1;
            self.at += match self.number_length() {
                Some(length) => length,
                None => self.while_(in_word).len(),
            };
        }
        self.at += self.while_(in_word).len();
        let text = self.text.get(begin..self.at).unwrap_or_default();
        Constant::read(text)
            .map(Token::Constant)
            .map_err(|error| Fault::new(begin..self.at, error.message).mend(error.mend))
    }

    fn reference(&mut self, sign: char) -> Result<Token<'t>, Fault> {
        let begin = self.at;
        self.at += 1;
        let name = self.while_(continues_name);
        self.at += name.len();
        if !name.starts_with(begins_name) {
            let (what, mend) = match sign {
                '$' => ("`$` without a name", "an address set is $NAME"),
                _ => ("`@` without a name", "a port group is @NAME"),
            };
            return Err(Fault::new(begin..self.at, what).mend(mend));
        }
        Ok(match sign {
            '$' => Token::AddressSet(name),
            _ => Token::PortGroup(name),
        })
    }

    /// A text in double quotes, with the escapes of JSON.
    fn quoted(&mut self) -> Result<Token<'t>, Fault> {
        let mut escaped = false;
        let rest = self.rest();
        let end = rest.char_indices().skip(1).find_map(|(at, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends.then_some(at + 1)
        });
        let Some(end) = end else {
            return Err(self.fault(1, "the quoted name does not end", "add \""));
        };
        let quoted = rest.get(..end).unwrap_or_default();
        let Ok(text) = serde_json::from_str(quoted) else {
            return Err(self.fault(
                end,
                "an escape that JSON does not have",
                "\\\" and \\\\ are",
            ));
        };
        self.at += end;
        Ok(Token::Text(text))
    }
}

/// Ends no number.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '.'
}

fn continues_name(c: char) -> bool {
    begins_name(c) || c.is_ascii_digit()
}

/// The names that can be referred to: OVN's rule for address sets and port groups.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(begins_name) && text.chars().all(continues_name)
}
