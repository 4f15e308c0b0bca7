//! What is wrong with a topology, told by place so that whoever read it can point at the source.

use std::fmt;
use std::ops::Range;

/// A place in a topology.
///
/// `path` names nouns and names from the top, for example `router`, `r1`, `port`, `p1`, `mac`.
/// `index` is the element of the one list that the path ends at or passes through:
/// `["router", "r1", "route", "nexthop"]` with index 2 is the next hop of the third route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Nouns and names from the top.
    pub path: Vec<String>,
    /// Element of the list on the path, from 0.
    pub index: Option<usize>,
}

impl Place {
    /// A place without a list on its path.
    pub fn at<const N: usize>(path: [&str; N]) -> Self {
        Self {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            index: None,
        }
    }

    /// The same place at element `index` of the list on its path.
    pub fn nth(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.join("."))?;
        match self.index {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// A stretch of a text that is a value in a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Line of the text, from 1.
    pub line: usize,
    /// Column in it, in characters from 1.
    pub column: usize,
}

/// One thing that is wrong with a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Nouns and names from the top, as in [`Place::path`].
    pub path: Vec<String>,
    /// Element of the list on the path, as in [`Place::index`].
    pub index: Option<usize>,
    /// Where in the text that is there, if that is known more closely.
    pub within: Option<Within>,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub mend: Option<String>,
    /// The other place involved, with what it contributes.
    pub also: Option<(Place, String)>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            path: place.path,
            index: place.index,
            within: None,
            message: message.into(),
            mend: None,
            also: None,
        }
    }

    /// With a proposal that would mend it.
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// At a stretch of the text that is at the place.
    pub fn within(mut self, within: Within) -> Self {
        self.within = Some(within);
        self
    }

    /// With the other place involved.
    pub fn also(mut self, place: Place, what: impl Into<String>) -> Self {
        self.also = Some((place, what.into()));
        self
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place {
            path: self.path.clone(),
            index: self.index,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())?;
        if let Some(within) = &self.within {
            write!(f, ", line {} column {}", within.line, within.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.mend {
            Some(mend) => write!(f, " ({mend})"),
            None => Ok(()),
        }
    }
}
