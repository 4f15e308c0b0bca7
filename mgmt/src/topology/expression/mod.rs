//! OVN's expression language: what `match` of an ACL says, and later that of policies and rules.
//!
//! ```text
//! text -- lexer --> words -- parse --> tree of symbols -- expand --> Expression
//!                              |                            |
//!                      negation pushed down,       predicates and prerequisites
//!                      types and names checked     written out, only fields are left
//! ```
//!
//! The language is that of ovn-sb(5), `match` of Logical_Flow, with its rules: `&&` and `||` together need
//! parentheses, so does what `!` is put before; nominal fields are tested for equality alone, taking `!` into account.
//! Stricter than OVN: an address is compared with a field of its own kind, and with the whole of it.

mod constant;
mod expand;
mod fault;
mod lexer;
mod parse;
mod symbols;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluice_net::Field;

pub use constant::{Constant, ConstantError, Form};
pub use fault::Fault;
pub(crate) use lexer::is_name;

/// What is true of the packets that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Of all, or of none.
    Constant(bool),
    /// All of these.
    All(Vec<Expression>),
    /// At least one of these.
    Any(Vec<Expression>),
    /// A comparison.
    Test(Test),
}

/// A comparison of some bits of a packet with values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Where the bits are.
    pub subject: Subject,
    /// The lowest of them, from 0.
    pub low: u8,
    /// How many.
    pub bits: u8,
    /// How they are compared.
    pub relation: Relation,
    /// With what: for [`Relation::Equal`] one of these, for [`Relation::NotEqual`] none of these, else the only one.
    pub values: Vec<Value>,
}

/// What can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The logical port a packet came in by.
    InPort,
    /// The logical port it leaves by.
    OutPort,
    /// A field of its headers.
    Header(Field),
}

impl Subject {
    /// How many bits it has; of a port those of its index.
    pub const fn bits(self) -> u8 {
        match self {
            Self::InPort | Self::OutPort => 32,
            Self::Header(field) => field.bits(),
        }
    }
}

/// A relational operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What bits are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, perhaps masked.
    Number {
        /// The number.
        value: u128,
        /// The bits that count; `None` is all of them.
        mask: Option<u128>,
    },
    /// The addresses of a set.
    AddressSet(String),
    /// A logical port.
    Port(String),
    /// The ports of a group.
    PortGroup(String),
}

/// Addresses with a name, OVN's Address_Set.
pub type Addresses = Arc<[Constant]>;

/// Which logical ports an expression may name.
#[derive(Clone, Copy)]
pub enum Ports<'t> {
    /// None: there are no logical ports where it is used.
    None(&'static str),
    /// Those that the function lets pass; else it says what is wrong, and what would mend it.
    Checked(&'t PortCheck<'t>),
}

/// Says whether a port may be named: what is wrong with its name, and what would mend it.
pub type PortCheck<'t> = dyn Fn(&str) -> Result<(), (String, String)> + 't;

/// What an expression may name where it stands.
#[derive(Clone, Copy)]
pub struct Scope<'t> {
    /// By name, those generated for port groups included.
    pub address_sets: &'t BTreeMap<String, Addresses>,
    /// Names of all port groups.
    pub port_groups: &'t BTreeSet<&'t str>,
    /// What `inport` may be compared with.
    pub inport: Ports<'t>,
    /// What `outport` may be compared with.
    pub outport: Ports<'t>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the text.
    pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, Fault> {
        let tree = parse::tree(text, Some(scope))?;
        Ok(expand::expand(&tree))
    }

    /// Every value that is compared with, in no order.
    pub fn values<'e>(&'e self, visit: &mut dyn FnMut(&'e Value)) {
        match self {
            Self::Constant(_) => {}
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.values(visit));
            }
            Self::Test(test) => test.values.iter().for_each(visit),
        }
    }
}
