//! From files to a checked configuration, or to everything that is wrong with them.

use std::borrow::Cow;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;

use super::device::DeviceText;
use super::diagnostic::{Diagnostic, Diagnostics, Location, Severity, Source};
use super::host::Host;
use super::locate::locate;
use super::memo::Memo;
use super::node::Node;
use super::node_check;
use super::node_file;
use super::places::Places;
use super::section::Findings;
use super::topology_file;
use crate::topology::{Problem, Resolved, Topology, resolve};

/// A configuration that holds together.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What this node is and has.
    pub node: Node,
    /// The network, with everything filled in.
    pub topology: Resolved,
    /// What is probably not meant.
    pub warnings: Diagnostics,
    /// Equal on nodes that run the same topology, whatever its comments and order.
    pub digest: u64,
}

impl Loaded {
    /// Warnings about Linux interfaces that devices need and that are not there, though they may come before the
    /// node starts. `exists` tells which are there; the daemon's check asks [`Host::has_interface`].
    #[must_use]
    pub fn absent_interfaces(&self, exists: impl Fn(&str) -> bool) -> Diagnostics {
        let sources: Vec<Source> = self.warnings.sources.iter().take(1).cloned().collect();
        let text = sources.first().map_or("", |source| source.text.as_str());
        let (table, _) = parse(text, NODE, &mut Vec::new());
        let mut items = Vec::new();
        for (name, interface) in &self.node.interfaces {
            let Ok(device) = DeviceText::read(&interface.device) else {
                continue;
            };
            let Some(linux) = device.carrier().filter(|linux| !exists(linux)) else {
                continue;
            };
            let message = format!("this machine has no interface `{linux}` now");
            let mut warning = Diagnostic::warning(message)
                .help(format!("interface `{name}` needs it when sluiced starts"));
            let path = ["interface", name, "device"];
            warning.at = locate(table.get_ref(), &path, None).map(|span| Location {
                source: NODE,
                span: span.into(),
            });
            items.push(warning);
        }
        let mut diagnostics = Diagnostics { sources, items };
        diagnostics.order();
        diagnostics
    }
}

/// The node file is the first source, the topology the second.
const NODE: usize = 0;
const TOPOLOGY: usize = 1;

/// Reads a node file and its topology for the machine we are on.
///
/// # Errors
/// Everything that is wrong, of both files and of how they fit.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    Loader::default().load(path)
}

/// Reads a node file and its topology for a given machine.
///
/// # Errors
/// Everything that is wrong, of both files and of how they fit.
pub fn load_on(path: &Path, host: &Host) -> Result<Loaded, Diagnostics> {
    Loader::default().load_on(path, host)
}

/// Reads configurations one after another. What a switch, a router or a chassis says is not read again as long as
/// its text stays the same; the result is that of [`load`].
#[derive(Default)]
pub struct Loader {
    memo: Memo,
}

impl Loader {
    /// As [`load`].
    ///
    /// # Errors
    /// Everything that is wrong, of both files and of how they fit.
    pub fn load(&mut self, path: &Path) -> Result<Loaded, Diagnostics> {
        self.load_on(path, &Host::detect())
    }

    /// As [`load_on`].
    ///
    /// # Errors
    /// Everything that is wrong, of both files and of how they fit.
    pub fn load_on(&mut self, path: &Path, host: &Host) -> Result<Loaded, Diagnostics> {
        load_with(Some(&mut self.memo), path, host)
    }
}

/// Without a memo the topology is read as a whole.
pub(super) fn load_with(
    memo: Option<&mut Memo>,
    path: &Path,
    host: &Host,
) -> Result<Loaded, Diagnostics> {
    let mut items = Vec::new();
    let source = match read_source(path) {
        Ok(source) => source,
        Err(message) => {
            items.push(Diagnostic::error(message));
            return Err(Diagnostics {
                sources: Vec::new(),
                items,
            });
        }
    };
    let mut further = Vec::new();
    let found = read_node(memo, path, &source, host, &mut further, &mut items);
    let mut sources = vec![source];
    sources.append(&mut further);
    let mut diagnostics = Diagnostics { sources, items };
    diagnostics.order();
    match found {
        Some((node, topology)) if !diagnostics.has_errors() => Ok(Loaded {
            node,
            digest: topology.digest(),
            topology,
            warnings: diagnostics,
        }),
        _ => Err(diagnostics),
    }
}

/// Checks and resolves the text of a topology file; `name` is what errors call it, `directory`
/// where its routes files are.
///
/// # Errors
/// Everything that is wrong.
pub fn parse_topology(name: &str, text: &str, directory: &Path) -> Result<Resolved, Diagnostics> {
    let source = Source {
        name: name.to_owned(),
        text: text.to_owned(),
        first_line: 1,
    };
    let mut items = Vec::new();
    let mut lines = Vec::new();
    let mut memo = Memo::default();
    let memo = Some(&mut memo);
    let (_, resolved) = read_topology(memo, &source, 0, directory, &mut lines, &mut items);
    let mut sources = vec![source];
    sources.append(&mut lines);
    let mut diagnostics = Diagnostics { sources, items };
    diagnostics.order();
    resolved.ok_or(diagnostics)
}

/// Points problems that were found after loading, when the topology met this node, into the files they come
/// from. `topology` is the topology file of the node file `path`.
pub fn explain(path: &Path, topology: &Path, problems: Vec<Problem>) -> Diagnostics {
    // Read again, since this is rare and a topology can have megabytes. Files that changed meanwhile lack places.
    let read = |path: &Path| read_source(path).unwrap_or_default();
    let (node, source) = (read(path), read(topology));
    let (node_table, _) = parse(&node.text, NODE, &mut Vec::new());
    let (table, _) = parse(&source.text, TOPOLOGY, &mut Vec::new());
    let directory = topology.parent().unwrap_or(Path::new(""));
    let file = topology_file::read(table.get_ref(), TOPOLOGY, directory, &Findings::default());
    let mut lines = Vec::new();
    let places = Places::of(
        &problems,
        (table.get_ref(), &source.text),
        TOPOLOGY,
        &file,
        &mut lines,
    );
    let of_node = |problem: &Problem| {
        let span = locate(node_table.get_ref(), &problem.path, problem.index)?;
        Some(Location {
            source: NODE,
            span: span.into(),
        })
    };
    let explained = problems.into_iter().map(|problem| {
        let at = of_node(&problem);
        let mut diagnostic = places.diagnostic(problem);
        diagnostic.at = diagnostic.at.or(at);
        diagnostic
    });
    let items = explained.collect();
    let mut sources = vec![node, source];
    sources.append(&mut lines);
    let mut diagnostics = Diagnostics { sources, items };
    diagnostics.order();
    diagnostics
}

impl Diagnostics {
    fn has_errors(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity == Severity::Error)
    }

    /// Errors first, then by place; what has no place comes before.
    fn order(&mut self) {
        self.items
            .sort_by(|a, b| (a.severity, &a.at).cmp(&(b.severity, &b.at)));
        self.items.dedup();
    }
}

fn read_source(path: &Path) -> Result<Source, String> {
    let name = path.display().to_string();
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Source {
            name,
            text,
            first_line: 1,
        }),
        Ok(Err(_)) => Err(format!("{name} is not UTF-8 text")),
        Err(error) => Err(format!("cannot read {name}: {error}")),
    }
}

/// The node and its topology, whose sources are put into `further`; `None` when errors have been
/// noted that leave nothing to go on.
fn read_node(
    memo: Option<&mut Memo>,
    path: &Path,
    source: &Source,
    host: &Host,
    further: &mut Vec<Source>,
    items: &mut Vec<Diagnostic>,
) -> Option<(Node, Resolved)> {
    let (table, whole) = parse(&source.text, NODE, items);
    let table = table.get_ref();
    let directory = path.parent().unwrap_or(Path::new(""));
    let findings = Findings::default();
    let node = node_file::read(table, NODE, directory, host, &findings);
    let sound = findings.errors.borrow().is_empty();
    items.append(&mut findings.errors.borrow_mut());
    let node = node.filter(|_| whole)?;
    let source = match read_source(&node.topology) {
        Ok(source) => source,
        Err(message) => {
            let mut error = Diagnostic::error(message);
            error.at = locate(table, &["topology"], None).map(|span| Location {
                source: NODE,
                span: span.into(),
            });
            items.push(error.help("the path is relative to the node file"));
            return None;
        }
    };
    let directory = node.topology.parent().unwrap_or(Path::new(""));
    let mut lines = Vec::new();
    let (declared, resolved) = read_topology(memo, &source, TOPOLOGY, directory, &mut lines, items);
    further.push(source);
    further.append(&mut lines);
    // With half of a file unread the rest of it would seem wrong.
    if let (Some(declared), true) = (&declared, sound) {
        items.extend(node_check::check(&node, declared, NODE, table));
    }
    Some((node, resolved?))
}

/// The tables of a text, and whether it is TOML from beginning to end.
fn parse<'t>(
    text: &'t str,
    source: usize,
    items: &mut Vec<Diagnostic>,
) -> (Spanned<DeTable<'t>>, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = error.message().trim().replace('\n', ", ");
        let mut diagnostic = Diagnostic::error(message);
        diagnostic.at = error.span().map(|span| Location {
            source,
            span: span.into(),
        });
        items.push(diagnostic);
    }
    (table, errors.is_empty())
}

/// What a topology says (`None` when too much of it could not be read) and what follows (`None`
/// when anything is wrong). Lines of other files that errors point into are sources after this one.
fn read_topology<'m>(
    memo: Option<&'m mut Memo>,
    source: &Source,
    index: usize,
    directory: &Path,
    lines: &mut Vec<Source>,
    items: &mut Vec<Diagnostic>,
) -> (Option<Cow<'m, Topology>>, Option<Resolved>) {
    // Whatever is wrong is told by the reading of the whole.
    if let Some(memo) = memo
        && memo.read(&source.text, directory)
        && let Ok(resolved) = resolve(memo.topology())
    {
        return (Some(Cow::Borrowed(memo.topology())), Some(resolved));
    }
    let (table, whole) = parse(&source.text, index, items);
    if !whole {
        return (None, None);
    }
    let findings = Findings {
        first_line: index + 1,
        ..Findings::default()
    };
    let file = topology_file::read(table.get_ref(), index, directory, &findings);
    lines.append(&mut findings.lines.borrow_mut());
    let sound = findings.errors.borrow().is_empty();
    items.append(&mut findings.errors.borrow_mut());
    if findings.damaged_root.get() {
        return (None, None);
    }
    let resolved = match resolve(&file.topology) {
        Ok(resolved) => sound.then_some(resolved),
        Err(mut problems) => {
            let damaged = findings.damaged.borrow();
            problems.retain(|problem| {
                let also = problem.also.iter().map(|(place, _)| place.path.as_slice());
                let mut paths = also.chain([problem.path.as_slice()]);
                !paths.any(|path| damaged.iter().any(|owner| begins_with(path, *owner)))
            });
            let places = Places::of(
                &problems,
                (table.get_ref(), &source.text),
                index,
                &file,
                lines,
            );
            items.extend(
                problems
                    .into_iter()
                    .map(|problem| places.diagnostic(problem)),
            );
            None
        }
    };
    (Some(Cow::Owned(file.topology)), resolved)
}

fn begins_with(path: &[String], (noun, name): (&str, &str)) -> bool {
    matches!(path, [first, second, ..] if first == noun && second == name)
}
