//! From the declared network to the tables the packet path reads.
//!
//! ```text
//!  Resolved (all nodes the same)  +  NodeView (this node)
//!      |
//!      |  reach      which switches and routers this node needs, and which can meet a NAT
//!      |  tunnels    the other chassis
//!      |  outline    what neighbors need to know of a switch
//!      |  component  which other chassis run the routers of a switch
//!      v
//!  switch, flood, acl   router, routes   devices   one piece a datapath
//!      |
//!      |  the same as before? then the same piece, with its epoch
//!      v
//!  Tables  +  Changes (what is new, for people)
//! ```
//!
//! A piece rests on its own declaration, on a few facts about its neighbors, on this node and on the chassis.
//! The compiler keeps what each piece rested on and compiles only what rests on something else now.

use std::sync::Arc;

use hashbrown::HashMap;
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::tables::{Piece, PieceKind, Tables};

use crate::topology::{Place, Problem, Resolved, ResolvedRouter, ResolvedSwitch};

mod acl;
mod balancers;
mod changes;
mod clauses;
mod component;
mod devices;
mod diff;
mod distributed;
mod flood;
mod health;
mod matches;
mod nat;
mod node;
mod outline;
mod pieces;
mod reach;
mod registry;
mod router;
mod routes;
mod switch;
#[cfg(test)]
mod tests;
mod tunnels;
mod warnings;

pub use changes::{Action, Change, Changes, Noun};
pub use node::{DeviceView, NodeView, UnderlayView};
pub use registry::Registry;

use acl::GroupsOf;
use balancers::Balancers;
use component::Components;
use health::Checked;
use outline::Outline;
use pieces::Round;
use reach::Reach;
use router::RouterFacts;
use switch::SwitchFacts;
use tunnels::Tunnels;

/// Gateway ports a node can have over its life time: the capacity to give to
/// [`Learned::new`](sluice_fastpath::learned::Learned::new).
pub const ROLE_CAPACITY: usize = 65_536;

/// Compiles one generation after another.
#[derive(Debug, Default)]
pub struct Compiler {
    registry: Registry,
    state: State,
    /// Compilations so far; the number of the newest one is its generation.
    compilations: u64,
}

/// One generation that may be committed.
#[derive(Debug)]
pub struct Compiled {
    state: State,
    /// What it changes against the generation it was compiled after.
    pub changes: Changes,
}

/// Tables, and what they were compiled from.
#[derive(Clone, Debug, Default)]
struct State {
    tables: Arc<Tables>,
    node: NodeView,
    tunnels: Tunnels,
    balancers: Balancers,
    sources: HashMap<DatapathId, Arc<Source>>,
}

/// What a piece was compiled from.
#[derive(Debug)]
enum Source {
    Switch(ResolvedSwitch, SwitchFacts),
    Router(ResolvedRouter, RouterFacts),
}

/// What a compilation looks at.
struct View<'t> {
    resolved: &'t Resolved,
    node: &'t NodeView,
    tunnels: &'t Tunnels,
    reach: &'t Reach<'t>,
    outlines: &'t HashMap<&'t str, Outline<'t>>,
    components: &'t Components<'t>,
    balancers: &'t Balancers,
    checked: &'t Checked<'t>,
    groups: &'t GroupsOf<'t>,
}

impl Compiler {
    /// A compiler that has named nothing yet; its first generation is compared with empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tables committed last.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.state.tables
    }

    /// Compiles what this node needs of a topology. Nothing is taken over before [`Compiler::commit`]; only
    /// new names keep the indices they were given.
    ///
    /// # Errors
    /// Everything that cannot be carried out on this node, all at once.
    pub fn compile(
        &mut self,
        resolved: &Resolved,
        node: &NodeView,
    ) -> Result<Compiled, Vec<Problem>> {
        let mut problems = Vec::new();
        check_chassis(resolved, node, &mut problems);
        let tunnels = Tunnels::compile(resolved, node, &mut self.registry, &mut problems);
        let reach = Reach::compute(resolved, node);
        let (outlines, warnings) = warnings::outline_all(resolved, node, &tunnels, &reach);
        let components = Components::compute(resolved, &tunnels, &reach);
        let balancers = Balancers::compile(resolved, &self.state.balancers);
        let checked = Checked::compute(resolved, &tunnels);
        let groups = GroupsOf::compute(resolved);
        let view = View {
            resolved,
            node,
            tunnels: &tunnels,
            reach: &reach,
            outlines: &outlines,
            components: &components,
            balancers: &balancers,
            checked: &checked,
            groups: &groups,
        };
        self.compilations += 1;
        let mut round = Round::new(
            &view,
            &mut self.registry,
            &self.state,
            self.compilations,
            problems,
        );
        round.switches();
        round.routers();
        let devices = devices::compile(&view, round.registry, &mut round.problems);
        if round.registry.roles() > ROLE_CAPACITY {
            let message =
                format!("more than {ROLE_CAPACITY} gateway ports since the daemon started");
            round
                .problems
                .push(Problem::new(Place::at(["router"]), message).mend("restart the daemon"));
        }
        if !round.problems.is_empty() {
            return Err(round.problems);
        }
        let (pieces, sources) = (round.pieces, round.sources);
        let tables = pieces::assemble(
            pieces,
            devices,
            &tunnels,
            &self.registry,
            self.compilations,
            &self.state.tables,
        );
        let items = diff::changes(&self.state.tables, &tables);
        let node = node.clone();
        let state = State {
            tables: Arc::new(tables),
            node,
            tunnels,
            balancers,
            sources,
        };
        Ok(Compiled {
            state,
            changes: Changes { items, warnings },
        })
    }

    /// Makes a compiled generation the one that the next is compared with, and returns it for publishing.
    pub fn commit(&mut self, compiled: Compiled) -> Arc<Tables> {
        self.state = compiled.state;
        Arc::clone(&self.state.tables)
    }
}

impl Compiled {
    /// The tables of this generation.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.state.tables
    }
}

fn check_chassis(resolved: &Resolved, node: &NodeView, problems: &mut Vec<Problem>) {
    if node.underlay.is_some() && !resolved.chassis.contains_key(&node.chassis) {
        problems.push(
            Problem::new(
                Place::at(["chassis"]),
                format!(
                    "this node is chassis `{}`, which the topology does not have",
                    node.chassis
                ),
            )
            .mend(format!("add [chassis.{}]", node.chassis)),
        );
    }
}

/// The router in a piece.
fn as_router(piece: &Piece) -> Option<&sluice_fastpath::tables::Router> {
    match &piece.kind {
        PieceKind::Router(router) => Some(router),
        PieceKind::Switch(_) => None,
    }
}
