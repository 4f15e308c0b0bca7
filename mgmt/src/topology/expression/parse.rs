//! From words to a tree of symbols, checked, with negation pushed down to the comparisons.

mod types;

use std::ops::Range;

use super::constant::{Constant, Form};
use super::fault::Fault;
use super::lexer::{Token, tokens};
use super::symbols::{ABSENT, SYMBOLS, Symbol, symbol};
use super::{Relation, Scope, Value};
use crate::topology::nearest;

/// Most parentheses inside each other, as in OVN.
const DEEPEST: usize = 100;

/// An expression in terms of symbols.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Constant(bool),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Test(SymbolTest),
}

/// A comparison of a symbol.
#[derive(Clone, Debug)]
pub(super) struct SymbolTest {
    pub symbol: &'static Symbol,
    /// The lowest bit of the symbol, and how many.
    pub low: u8,
    pub bits: u8,
    pub relation: Relation,
    pub values: Vec<Value>,
}

impl Tree {
    fn negated(self) -> Self {
        let negated = |parts: Vec<Tree>| parts.into_iter().map(Tree::negated).collect();
        match self {
            Self::Constant(truth) => Self::Constant(!truth),
            Self::All(parts) => Self::Any(negated(parts)),
            Self::Any(parts) => Self::All(negated(parts)),
            Self::Test(test) => Self::Test(SymbolTest {
                relation: test.relation.opposite(),
                ..test
            }),
        }
    }
}

impl Relation {
    /// True exactly where this is false.
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same said from the other side: `1 < x` is `x > 1`.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            equality => equality,
        }
    }

    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn of(mark: &str) -> Option<Self> {
        Some(match mark {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }
}

/// Reads a whole text. Without a scope no name of ports, groups or sets is known.
pub(super) fn tree(text: &str, scope: Option<&Scope<'_>>) -> Result<Tree, Fault> {
    let mut parser = Parser {
        words: tokens(text)?,
        at: 0,
        scope,
        negated: false,
        depth: 0,
    };
    let tree = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(tree),
        Token::Mark(")") => Err(parser.unexpected("&& or ||", "remove `)`")),
        _ => Err(parser.unexpected("&& or ||", "join conditions with && or ||")),
    }
}

/// A symbol, or some bits of it, as it was written.
#[derive(Clone, Debug)]
struct Operand {
    symbol: &'static Symbol,
    low: u8,
    bits: u8,
    span: Range<usize>,
}

/// One value or several in braces.
struct Values {
    all: Vec<(Given, Range<usize>)>,
    braces: bool,
    span: Range<usize>,
}

/// A value as it was written.
enum Given {
    Constant(Constant),
    AddressSet(String),
    Port(String),
    PortGroup(String),
}

struct Parser<'t, 's> {
    words: Vec<(Token<'t>, Range<usize>)>,
    at: usize,
    scope: Option<&'s Scope<'s>>,
    /// Inside an odd number of `!`.
    negated: bool,
    depth: usize,
}

impl<'t> Parser<'t, '_> {
    fn peek(&self) -> &Token<'t> {
        self.words
            .get(self.at)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn span(&self) -> Range<usize> {
        let last = self.words.len().saturating_sub(1);
        let word = self.words.get(self.at.min(last));
        word.map_or(0..0, |(_, span)| span.clone())
    }

    fn take(&mut self) -> (Token<'t>, Range<usize>) {
        let taken = (self.peek().clone(), self.span());
        self.at += 1;
        taken
    }

    fn accept(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(here) if *here == mark);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, wanted: &str, mend: &str) -> Fault {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Name(name) => format!("`{name}`"),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::Constant(constant) => format!("`{constant}`"),
            Token::Text(text) => format!("\"{text}\""),
            Token::AddressSet(name) => format!("`${name}`"),
            Token::PortGroup(name) => format!("`@{name}`"),
        };
        Fault::new(self.span(), format!("{wanted} expected, not {found}")).mend(mend)
    }

    fn expect(&mut self, mark: &str) -> Result<(), Fault> {
        if self.accept(mark) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{mark}`"), &format!("add `{mark}`")))
    }

    fn expression(&mut self) -> Result<Tree, Fault> {
        let first = self.negation()?;
        let Token::Mark(joint @ ("&&" | "||")) = *self.peek() else {
            return Ok(first);
        };
        let mut parts = vec![first];
        while self.accept(joint) {
            parts.push(self.negation()?);
        }
        if let Token::Mark("&&" | "||") = self.peek() {
            let message = "&& and || without parentheses";
            return Err(Fault::new(self.span(), message)
                .mend("write a && (b || c), or (a && b) || c, as it is meant"));
        }
        Ok(match joint {
            "&&" => Tree::All(parts),
            _ => Tree::Any(parts),
        })
    }

    fn negation(&mut self) -> Result<Tree, Fault> {
        let begin = self.span();
        if !self.accept("!") {
            return Ok(self.primary()?.0);
        }
        self.negated = !self.negated;
        let read = self.primary();
        self.negated = !self.negated;
        let (tree, atomic) = read?;
        if !atomic {
            return Err(Fault::new(begin, "`!` before a comparison")
                .mend("put the comparison in parentheses: !(...)"));
        }
        Ok(tree.negated())
    }

    /// Also says whether `!` may stand before it.
    fn primary(&mut self) -> Result<(Tree, bool), Fault> {
        if self.accept("(") {
            if self.depth == DEEPEST {
                return Err(
                    Fault::new(self.span(), "too many parentheses inside each other")
                        .mend(format!("at most {DEEPEST}")),
                );
            }
            self.depth += 1;
            let tree = self.expression()?;
            self.depth -= 1;
            self.expect(")")?;
            return Ok((tree, true));
        }
        match self.peek() {
            Token::Name(_) => self.field_first(),
            Token::Mark("!") => {
                Err(self.unexpected("a condition", "two `!` cancel each other: remove both"))
            }
            Token::Mark(mark) if *mark != "{" => {
                Err(self.unexpected("a condition", "such as ip4.src == 10.0.0.0/8"))
            }
            Token::End => Err(self.unexpected("a condition", "1 is true of every packet")),
            _ => self.value_first(),
        }
    }

    /// `field`, or `field == value`.
    fn field_first(&mut self) -> Result<(Tree, bool), Fault> {
        let operand = self.operand()?;
        if let Some(relation) = self.relation() {
            let values = self.values()?;
            return Ok((self.test(&operand, relation, values)?, false));
        }
        if let Token::Mark("=") = self.peek() {
            return Err(self.unexpected("an operator", "equality is =="));
        }
        if operand.symbol.is_port() {
            return Err(self.unexpected("== or !=", "such as inport == \"vm1\""));
        }
        if operand.bits > 1 && !self.negated {
            let message = format!("`{}` is a number", operand.symbol.name);
            return Err(Fault::new(operand.span, message).mend("compare it, perhaps with != 0"));
        }
        let zero = Constant {
            value: 0,
            mask: None,
            form: Form::Hexadecimal,
        };
        let values = Values {
            all: vec![(Given::Constant(zero), operand.span.clone())],
            braces: false,
            span: operand.span.clone(),
        };
        Ok((self.test(&operand, Relation::NotEqual, values)?, true))
    }

    /// `1`, `value == field`, or `low <= field <= high`.
    fn value_first(&mut self) -> Result<(Tree, bool), Fault> {
        let values = self.values()?;
        let Some(first) = self.relation() else {
            return match values.all.as_slice() {
                [(Given::Constant(constant), _)]
                    if !values.braces
                        && constant.value <= 1
                        && constant.mask.is_none()
                        && constant.form == Form::Decimal =>
                {
                    Ok((Tree::Constant(constant.value == 1), true))
                }
                _ => Err(self.unexpected("an operator", "compare the value with a field")),
            };
        };
        let operand = self.operand()?;
        let begin = values.span.start;
        let lower = self.test(&operand, first.turned(), values)?;
        let Some(second) = self.relation() else {
            return Ok((lower, false));
        };
        let values = self.values()?;
        let whole = begin..values.span.end;
        let upper = self.test(&operand, second, values)?;
        let ascending = |r| matches!(r, Relation::Less | Relation::LessOrEqual);
        let descending = |r| matches!(r, Relation::Greater | Relation::GreaterOrEqual);
        if !(ascending(first) && ascending(second) || descending(first) && descending(second)) {
            return Err(Fault::new(whole, "not a range")
                .mend("write low <= field <= high, with < or <=, or the other way round"));
        }
        // Negated as one by whoever put `!` before the parentheses.
        Ok((Tree::All(vec![lower, upper]), false))
    }

    fn relation(&mut self) -> Option<Relation> {
        let Token::Mark(mark) = self.peek() else {
            return None;
        };
        let relation = Relation::of(mark)?;
        self.at += 1;
        Some(relation)
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        let (Token::Name(name), span) = (self.peek().clone(), self.span()) else {
            return Err(self.unexpected("a field", "such as ip4.src or tcp.dst"));
        };
        let Some(symbol) = symbol(name) else {
            return Err(unknown(name, span));
        };
        self.at += 1;
        let mut operand = Operand {
            symbol,
            low: 0,
            bits: symbol.bits(),
            span,
        };
        if self.accept("[") {
            self.select(&mut operand)?;
        }
        Ok(operand)
    }

    /// `[BIT]` or `[LOW..HIGH]` after a field.
    fn select(&mut self, operand: &mut Operand) -> Result<(), Fault> {
        let low = self.bit()?;
        let high = if self.accept("..") { self.bit()? } else { low };
        operand.span.end = self.span().end;
        self.expect("]")?;
        let (name, bits) = (operand.symbol.name, operand.bits);
        let fault = |message: String, mend: String| {
            Err(Fault::new(operand.span.clone(), message).mend(mend))
        };
        if operand.symbol.is_port() {
            return fault(
                format!("`{name}` has no bits"),
                "compare it with a port's name".into(),
            );
        }
        if low > high || high >= bits.into() {
            return fault(
                format!("`{name}` has no bits {low} to {high}"),
                format!("0 to {}, the lower one first", bits - 1),
            );
        }
        if operand.symbol.nominal && (low, high + 1) != (0, bits.into()) {
            return fault(
                format!("single bits of `{name}` mean nothing"),
                format!("compare `{name}` as a whole"),
            );
        }
        operand.low = low as u8;
        operand.bits = (high - low + 1) as u8;
        Ok(())
    }

    fn bit(&mut self) -> Result<u128, Fault> {
        match self.peek() {
            Token::Constant(constant) if constant.mask.is_none() => {
                let value = constant.value;
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.unexpected("the number of a bit", "such as [0] or [0..7]")),
        }
    }

    fn values(&mut self) -> Result<Values, Fault> {
        let begin = self.span().start;
        let braces = self.accept("{");
        let mut all = vec![self.value()?];
        while braces && !self.accept("}") {
            self.accept(",");
            if self.accept("}") {
                break;
            }
            all.push(self.value()?);
        }
        let end = self.words.get(self.at.saturating_sub(1));
        let end = end.map_or(begin, |(_, span)| span.end);
        Ok(Values {
            all,
            braces,
            span: begin..end,
        })
    }

    fn value(&mut self) -> Result<(Given, Range<usize>), Fault> {
        let given = match self.peek().clone() {
            Token::Constant(constant) => Given::Constant(constant),
            Token::Text(text) => Given::Port(text),
            Token::AddressSet(name) => Given::AddressSet(name.to_owned()),
            Token::PortGroup(name) => Given::PortGroup(name.to_owned()),
            Token::Mark("}") => {
                return Err(self.unexpected("a value", "write at least one between { and }"));
            }
            Token::Name(name) => {
                let mend = format!("a port is named in quotes: \"{name}\"");
                return Err(self.unexpected("a value", &mend));
            }
            _ => return Err(self.unexpected("a value", "such as 80 or 10.0.0.0/8")),
        };
        let (_, span) = self.take();
        Ok((given, span))
    }
}

fn unknown(name: &str, span: Range<usize>) -> Fault {
    if let Some((_, why, mend)) = ABSENT.iter().find(|(begin, ..)| name.starts_with(begin)) {
        return Fault::new(span, format!("`{name}` is not known here: {why}")).mend(*mend);
    }
    let mend = match name {
        "and" => "and is &&".to_owned(),
        "or" => "or is ||".to_owned(),
        "not" => "not is !".to_owned(),
        _ => match nearest(name, SYMBOLS.iter().map(|symbol| symbol.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the fields are listed in configs/README.md".to_owned(),
        },
    };
    Fault::new(span, format!("there is no field `{name}`")).mend(mend)
}
