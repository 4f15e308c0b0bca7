//! From problems of a topology to places in its files.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Location, Source};
use super::locate::locate;
use super::quoted;
use super::topology_file::TopologyFile;
use crate::topology::{Place, Problem};

/// Finds the places of problems in the topology file and in its routes files.
pub(super) struct Places<'a> {
    table: &'a DeTable<'a>,
    /// The text of `table`.
    text: &'a str,
    index: usize,
    file: &'a TopologyFile,
    lines: &'a mut Vec<Source>,
    /// Sources made for lines of routes files: by index of the file's routes, and line.
    known: HashMap<(usize, u32), usize>,
}

impl<'a> Places<'a> {
    /// For these problems of what `file` says. `table` is the topology file with its text, source number `index`;
    /// texts of lines of routes files are put into `lines`, whose sources follow it.
    pub(super) fn of(
        problems: &[Problem],
        (table, text): (&'a DeTable<'a>, &'a str),
        index: usize,
        file: &'a TopologyFile,
        lines: &'a mut Vec<Source>,
    ) -> Self {
        let mut places = Self {
            table,
            text,
            index,
            file,
            lines,
            known: HashMap::new(),
        };
        places.find_lines(problems);
        places
    }

    /// The routes file and line of a place, if it is there.
    fn line(&self, path: &[String], index: Option<usize>) -> Option<(usize, u32)> {
        let [noun, router, list, ..] = path else {
            return None;
        };
        if noun != "router" || list != "route" {
            return None;
        }
        let mut files = self.file.routes.iter().enumerate();
        let (number, routes) = files.find(|(_, routes)| routes.router == *router)?;
        let within = index?.checked_sub(routes.inline)?;
        Some((number, *routes.lines.numbers.get(within)?))
    }

    /// Finds the text of all lines that problems are in: each file is searched once, at most.
    fn find_lines(&mut self, problems: &[Problem]) {
        let mut wanted: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for problem in problems {
            if let Some((file, line)) = self.line(&problem.path, problem.index) {
                let lines = wanted.entry(file).or_default();
                lines.push(line);
            }
        }
        for (number, lines) in wanted {
            let Some(routes) = self.file.routes.get(number) else {
                continue;
            };
            for (line, source) in routes.lines.excerpts(&lines) {
                let index = self.index + 1 + self.lines.len();
                self.known.insert((number, line), index);
                self.lines.push(source);
            }
        }
    }

    fn location(&self, path: &[String], index: Option<usize>) -> Option<Location> {
        if let Some(line) = self.line(path, index) {
            let source = *self.known.get(&line)?;
            let text = &self.lines.get(source - self.index - 1)?.text;
            return Some(Location {
                source,
                span: (0..text.len()).into(),
            });
        }
        Some(Location {
            source: self.index,
            span: locate(self.table, path, index)?.into(),
        })
    }

    /// A problem with its places, as far as they are in these files.
    pub(super) fn diagnostic(&self, problem: Problem) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(problem.message);
        diagnostic.at = self.location(&problem.path, problem.index);
        if let (Some(at), Some(within)) = (&mut diagnostic.at, &problem.within)
            && at.source == self.index
            && let Some(span) = quoted::stretch(self.text, at.span.into(), &within.span)
        {
            at.span = span.into();
        }
        diagnostic.also = problem
            .also
            .and_then(|(Place { path, index }, what)| Some((self.location(&path, index)?, what)));
        diagnostic.help = problem.mend;
        diagnostic
    }
}
