//! What is wrong with the files, and where, all of it at once.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// How many are shown; the rest is counted.
const MOST_SHOWN: usize = 50;

/// A text that diagnostics point into: a file, or a few lines of a large one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// As the operator knows it.
    pub name: String,
    pub text: String,
    /// The number of the first line of `text`, from 1.
    pub first_line: usize,
}

/// A stretch of a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Location {
    /// Index into the sources.
    pub source: usize,
    /// Bytes of its text.
    pub span: Stretch,
}

/// Start and end of a stretch of bytes (a range that can be ordered).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub start: usize,
    pub end: usize,
}

impl From<Range<usize>> for Stretch {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

impl From<Stretch> for Range<usize> {
    fn from(stretch: Stretch) -> Self {
        stretch.start..stretch.end
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted, but probably not what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    pub at: Option<Location>,
    /// Another place involved, and what is there.
    pub also: Option<(Location, String)>,
    /// What would mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            at: None,
            also: None,
            help: None,
        }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    pub(super) fn at(mut self, location: Location) -> Self {
        self.at = Some(location);
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Everything that is wrong with a configuration, in the order of the files.
///
/// Shown (with `Display` or [`Diagnostics::render`]) as a compiler shows errors: file, line and
/// column, excerpt, reason, and what would mend it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    pub(super) sources: Vec<Source>,
    pub(super) items: Vec<Diagnostic>,
}

/// One diagnostic without its excerpt, for machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as named on the command line or in another file; `None` when no file is involved.
    pub file: Option<&'a str>,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub message: &'a str,
    /// What would mend it.
    pub help: Option<&'a str>,
}

impl Diagnostics {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Is there nothing to say?
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All of them, without excerpts.
    pub fn findings(&self) -> impl Iterator<Item = Finding<'_>> {
        self.items.iter().map(|item| {
            let at = item.at.as_ref();
            let source = at.and_then(|at| self.sources.get(at.source));
            Finding {
                severity: item.severity,
                file: source.map(|source| source.name.as_str()),
                position: at
                    .zip(source)
                    .map(|(at, source)| source.position(at.span.start)),
                message: &item.message,
                help: item.help.as_deref(),
            }
        })
    }

    /// The first 50 with excerpts, then how many more there are. With `color`, for a terminal.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for item in self.items.iter().take(MOST_SHOWN) {
            text.push_str(&renderer.render(&self.groups(item)));
            text.push_str("\n\n");
        }
        if let Some(more) = self.items.len().checked_sub(MOST_SHOWN)
            && more > 0
        {
            text.push_str(&format!("... and {more} more\n\n"));
        }
        text
    }

    fn groups<'a>(&'a self, item: &'a Diagnostic) -> Vec<Group<'a>> {
        let level = match item.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(item.message.as_str()));
        if let Some(snippet) = item.at.as_ref().and_then(|at| self.snippet(at, None)) {
            group = group.element(snippet);
        }
        if let Some((at, what)) = &item.also
            && let Some(snippet) = self.snippet(at, Some(what))
        {
            group = group.element(snippet);
        }
        if let Some(help) = &item.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        vec![group]
    }

    /// The lines of a stretch only: a topology can have megabytes.
    fn snippet<'a>(
        &'a self,
        at: &Location,
        context: Option<&'a str>,
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let source = self.sources.get(at.source)?;
        let (start, line) = source.line_of(at.span.start);
        let end = at.span.end.min(start + line.len()).max(at.span.start);
        let span = at.span.start - start..end - start;
        let annotation = match context {
            Some(what) => AnnotationKind::Context.span(span).label(what),
            None => AnnotationKind::Primary.span(span),
        };
        let (number, _) = source.position(at.span.start);
        Some(
            Snippet::source(line)
                .path(source.name.as_str())
                .line_start(number)
                .annotation(annotation),
        )
    }
}

impl Source {
    /// The line that holds a byte, and where it begins.
    fn line_of(&self, byte: usize) -> (usize, &str) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = self.text.get(start..).unwrap_or_default();
        (start, rest.lines().next().unwrap_or_default())
    }

    /// Line and column (in characters) of a byte, from 1.
    fn position(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count();
        let (start, _) = self.line_of(byte);
        let column = self
            .text
            .get(start..byte)
            .unwrap_or_default()
            .chars()
            .count();
        (self.first_line + line, column + 1)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
