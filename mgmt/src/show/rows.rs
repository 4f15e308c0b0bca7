//! Rows on their way to a client: in pieces, up to a limit.

use std::io;

use serde_json::Value;

use crate::control::Reply;

/// Rows in one line of the answer.
const PIECE: usize = 256;

/// A row was taken, or the limit is reached and no more are wanted.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Wanted,
    Enough,
}

/// Collects rows into lines.
pub(super) struct Rows<'a> {
    out: &'a mut dyn FnMut(Reply) -> io::Result<()>,
    piece: Vec<Value>,
    left: Option<u64>,
    cut: bool,
}

impl<'a> Rows<'a> {
    pub(super) fn new(out: &'a mut dyn FnMut(Reply) -> io::Result<()>, limit: Option<u64>) -> Self {
        Self {
            out,
            piece: Vec::new(),
            left: limit,
            cut: false,
        }
    }

    /// Takes a row.
    pub(super) fn push(&mut self, row: Value) -> io::Result<More> {
        if self.left == Some(0) {
            self.cut = true;
            return Ok(More::Enough);
        }
        self.left = self.left.map(|left| left - 1);
        self.piece.push(row);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(More::Wanted)
    }

    /// Takes rows until there are enough.
    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = Value>) -> io::Result<()> {
        for row in rows {
            if self.push(row)? == More::Enough {
                break;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        (self.out)(Reply::Rows {
            rows: std::mem::take(&mut self.piece),
        })
    }

    /// Sends what is left; says so when rows were left out.
    pub(super) fn finish(mut self) -> io::Result<Option<String>> {
        self.flush()?;
        Ok(self
            .cut
            .then(|| "there are more rows than the limit".to_owned()))
    }
}
