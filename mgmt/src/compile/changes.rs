//! What a new generation changes, for `check`, logs and `reload`.

use std::fmt;

/// What the compiled tables change against those of before, and what an operator should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What came, went or changed, by noun and name.
    pub items: Vec<Change>,
    /// What is probably not meant, though it can be carried out.
    pub warnings: Vec<String>,
}

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub action: Action,
    /// What it is.
    pub noun: Noun,
    /// Its name.
    pub name: String,
    /// What changes in it; empty when it came or went.
    pub details: Vec<String>,
}

/// How a thing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It was not there.
    Added,
    /// It goes.
    Removed,
    /// It stays, with another content.
    Changed,
}

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noun {
    /// A device of this node, or what enters by it.
    Interface,
    /// This node's own tunnel end.
    Underlay,
    /// Another chassis.
    Tunnel,
    /// A logical switch.
    Switch,
    /// A logical router.
    Router,
}

impl Changes {
    /// True when the tables stay as they are.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Noun::Interface => "interface",
            Noun::Underlay => "underlay",
            Noun::Tunnel => "tunnel",
            Noun::Switch => "switch",
            Noun::Router => "router",
        })
    }
}

/// For example `~ router r1: 3 routes added; nat changed`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.action {
            Action::Added => '+',
            Action::Removed => '-',
            Action::Changed => '~',
        };
        write!(f, "{sign} {} {}", self.noun, self.name)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details.join("; "))?;
        }
        Ok(())
    }
}

/// One line each.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{item}")?;
        }
        Ok(())
    }
}
