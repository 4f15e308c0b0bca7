//! What is known of a topology file from the last time it was read.
//!
//! Entities whose text has not changed are not read again. That is only for files that are right: whatever is
//! wrong or out of the ordinary, the file is read as a whole, which also says what is wrong.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use toml::de::DeTable;

use super::entities::{Entities, Entity};
use super::section::Findings;
use super::topology_file::{self, TopologyFile};
use crate::topology::Topology;

/// Entities as they were last read. Text and meaning always fit, also after a file that could not be read.
#[derive(Default)]
pub(super) struct Memo {
    /// By the beginning of their headers.
    known: HashMap<String, Known>,
    topology: Topology,
}

/// What the meaning of an entity comes from.
struct Known {
    text: String,
    routes: Option<RoutesFile>,
}

struct RoutesFile {
    /// The directory that its name is relative to.
    directory: PathBuf,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Memo {
    /// Reads the text of a topology file; `directory` is where its routes files are. True when [`Memo::topology`] is
    /// now what it says; false when it has to be read as a whole.
    pub(super) fn read(&mut self, text: &str, directory: &Path) -> bool {
        let Some(entities) = Entities::of(text) else {
            return false;
        };
        let Some(preamble) = read(entities.preamble, directory) else {
            return false;
        };
        let settings = Topology {
            default_acl_drop: preamble.topology.default_acl_drop,
            ..Topology::default()
        };
        if preamble.topology != settings {
            return false;
        }
        self.topology.default_acl_drop = settings.default_acl_drop;
        if !entities
            .all
            .iter()
            .all(|entity| self.learn(entity, directory))
        {
            return false;
        }
        if entities.all.len() < self.known.len() {
            self.forget_others(&entities);
        }
        true
    }

    /// What the last text said that could be read.
    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Reads an entity unless it is known; false when anything is wrong with it.
    fn learn(&mut self, entity: &Entity<'_>, directory: &Path) -> bool {
        let known = self.known.get(entity.name);
        if known.is_some_and(|known| known.holds(entity, directory)) {
            return true;
        }
        let text = entity.stretches.concat();
        let Some(file) = read(&text, directory) else {
            return false;
        };
        let routes = file.routes.into_iter().next().map(|routes| RoutesFile {
            directory: directory.to_owned(),
            path: routes.lines.path,
            bytes: routes.lines.bytes,
        });
        self.topology.chassis.extend(file.topology.chassis);
        self.topology.switches.extend(file.topology.switches);
        self.topology.routers.extend(file.topology.routers);
        let balancers = file.topology.load_balancers;
        self.topology.load_balancers.extend(balancers);
        self.topology.port_groups.extend(file.topology.port_groups);
        let address_sets = file.topology.address_sets;
        self.topology.address_sets.extend(address_sets);
        self.known
            .insert(entity.name.to_owned(), Known { text, routes });
        true
    }

    fn forget_others(&mut self, entities: &Entities<'_>) {
        let topology = &mut self.topology;
        self.known.retain(|name, _| {
            let stays = entities.contains(name);
            if !stays {
                match name.split_once('.') {
                    Some(("chassis", name)) => _ = topology.chassis.remove(name),
                    Some(("switch", name)) => _ = topology.switches.remove(name),
                    Some(("router", name)) => _ = topology.routers.remove(name),
                    Some(("load_balancer", name)) => {
                        _ = topology.load_balancers.remove(name);
                    }
                    Some(("port_group", name)) => _ = topology.port_groups.remove(name),
                    Some((_, name)) => _ = topology.address_sets.remove(name),
                    None => {}
                }
            }
            stays
        });
    }
}

/// What a text says by itself; `None` when anything is wrong.
fn read(text: &str, directory: &Path) -> Option<TopologyFile> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return None;
    }
    let findings = Findings::default();
    let file = topology_file::read(table.get_ref(), 0, directory, &findings);
    let sound = findings.errors.borrow().is_empty();
    sound.then_some(file)
}

impl Known {
    fn holds(&self, entity: &Entity<'_>, directory: &Path) -> bool {
        let mut stretches = entity.stretches.iter();
        let rest = stretches.try_fold(self.text.as_str(), |rest, stretch| {
            rest.strip_prefix(stretch)
        });
        rest.is_some_and(str::is_empty)
            && (self.routes.as_ref()).is_none_or(|routes| routes.is_unchanged(directory))
    }
}

impl RoutesFile {
    fn is_unchanged(&self, directory: &Path) -> bool {
        self.directory == directory
            && std::fs::read(&self.path).is_ok_and(|bytes| bytes == self.bytes)
    }
}
