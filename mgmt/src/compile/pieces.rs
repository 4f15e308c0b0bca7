//! One piece a datapath: taken over when it rests on the same as before, compiled otherwise.

use std::sync::Arc;

use hashbrown::HashMap;
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::tables::{Acls, Device, Piece, PieceKind, PortSeat, Tables};
use sluice_net::Vni;

use super::acl;
use super::distributed;
use super::reach::Owner;
use super::registry::Registry;
use super::router::{self, RouterFacts};
use super::switch::{self, SwitchFacts};
use super::tunnels::Tunnels;
use super::{Source, State, View, as_router};
use crate::topology::{Problem, ResolvedRouter, ResolvedSwitch};

/// One compilation of all datapaths.
pub(super) struct Round<'r> {
    view: &'r View<'r>,
    pub(super) registry: &'r mut Registry,
    last: &'r State,
    /// This node and the chassis are as they were.
    same_node: bool,
    epoch: u64,
    pub(super) pieces: Vec<Arc<Piece>>,
    pub(super) sources: HashMap<DatapathId, Arc<Source>>,
    pub(super) problems: Vec<Problem>,
}

impl<'r> Round<'r> {
    pub(super) fn new(
        view: &'r View<'r>,
        registry: &'r mut Registry,
        last: &'r State,
        epoch: u64,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            same_node: last.node == *view.node && last.tunnels == *view.tunnels,
            view,
            registry,
            last,
            epoch,
            pieces: Vec::new(),
            sources: HashMap::new(),
            problems,
        }
    }

    pub(super) fn switches(&mut self) {
        let view = self.view;
        for (name, declared) in &view.resolved.switches {
            if view.reach.contains(Owner::Switch(name)) {
                self.switch(name, declared);
            }
        }
    }

    pub(super) fn routers(&mut self) {
        let view = self.view;
        for (name, declared) in &view.resolved.routers {
            if view.reach.contains(Owner::Router(name)) {
                router::check_links(view, name, declared, &mut self.problems);
                distributed::check(view, name, declared, &mut self.problems);
                self.router(name, declared);
            }
        }
    }

    fn switch(&mut self, name: &str, declared: &ResolvedSwitch) {
        let view = self.view;
        let id = self.registry.datapath(Owner::Switch(name));
        let facts = SwitchFacts::gather(view, self.registry, name, declared);
        let same = |source: &Source| matches!(source, Source::Switch(d, f) if *f == facts && d == declared);
        if self.take_over(id, same) {
            return;
        }
        let Some(outline) = view.outlines.get(name) else {
            return;
        };
        let mut compiled = switch::compile(view, self.registry, name, declared, outline, &facts);
        compiled.acls = match self.last_acls(id, declared, &facts) {
            Some(acls) => acls,
            None => {
                let acls = acl::compile(name, declared, &facts.acls, &mut self.problems);
                if let (Some(acls), Some(PieceKind::Switch(before))) =
                    (&acls, self.last_piece(id).map(|piece| &piece.kind))
                    && let Some(before) = &before.acls
                {
                    acl::go_on(acls, before);
                }
                acls
            }
        };
        self.sources
            .insert(id, Arc::new(Source::Switch(declared.clone(), facts)));
        self.add(id, name, declared.key, PieceKind::Switch(compiled));
    }

    fn router(&mut self, name: &str, declared: &ResolvedRouter) {
        let view = self.view;
        let id = self.registry.datapath(Owner::Router(name));
        let facts = RouterFacts::gather(view, self.registry, name, declared);
        let same = |source: &Source| matches!(source, Source::Router(d, f) if *f == facts && d == declared);
        if self.take_over(id, same) {
            return;
        }
        let before = self.last_piece(id).and_then(|piece| as_router(piece));
        let compiled = router::compile(
            view,
            self.registry,
            name,
            declared,
            &facts,
            before,
            &mut self.problems,
        );
        self.sources
            .insert(id, Arc::new(Source::Router(declared.clone(), facts)));
        self.add(id, name, declared.key, PieceKind::Router(compiled));
    }

    fn last_piece(&self, id: DatapathId) -> Option<&'r Arc<Piece>> {
        let last: &'r State = self.last;
        last.tables.datapaths.get(id.0 as usize)?.as_ref()
    }

    /// The ACLs of before when they rest on the same.
    fn last_acls(
        &self,
        id: DatapathId,
        declared: &ResolvedSwitch,
        facts: &SwitchFacts,
    ) -> Option<Option<Arc<Acls>>> {
        let Source::Switch(before, before_facts) = &**self.last.sources.get(&id)? else {
            return None;
        };
        let PieceKind::Switch(switch) = &self.last_piece(id)?.kind else {
            return None;
        };
        let same = before.acls == declared.acls && before_facts.acls == facts.acls;
        same.then(|| switch.acls.clone())
    }

    /// Takes the piece of before when it rests on the same.
    fn take_over(&mut self, id: DatapathId, same: impl Fn(&Source) -> bool) -> bool {
        let source = self
            .last
            .sources
            .get(&id)
            .filter(|source| self.same_node && same(source));
        let Some((source, piece)) = source.zip(self.last_piece(id)) else {
            return false;
        };
        self.sources.insert(id, Arc::clone(source));
        self.pieces.push(Arc::clone(piece));
        true
    }

    /// Adds a compiled piece: the old one, with its epoch, when they are equal.
    fn add(&mut self, id: DatapathId, name: &str, vni: Vni, kind: PieceKind) {
        let equal = |old: &&Arc<Piece>| old.name == name && old.vni == vni && old.kind == kind;
        let piece = match self.last_piece(id).filter(equal) {
            Some(old) => Arc::clone(old),
            None => Arc::new(Piece {
                epoch: self.epoch,
                id,
                name: name.to_owned(),
                vni,
                kind,
            }),
        };
        self.pieces.push(piece);
    }
}

/// Puts a generation together.
pub(super) fn assemble(
    pieces: Vec<Arc<Piece>>,
    devices: Vec<Device>,
    tunnels: &Tunnels,
    registry: &Registry,
    generation: u64,
    before: &Tables,
) -> Tables {
    let mut tables = Tables {
        generation,
        wiring: generation,
        datapaths: vec![None; registry.datapaths()],
        ports: vec![None; registry.ports()],
        by_vni: HashMap::with_capacity(pieces.len()),
        devices,
        tunnels: tunnels.by_id.clone(),
        peers: tunnels.peers(),
        underlay: tunnels.underlay.clone(),
    };
    if tables.devices == before.devices
        && tables.tunnels == before.tunnels
        && tables.underlay == before.underlay
    {
        tables.wiring = before.wiring;
    }
    for piece in pieces {
        let datapath = piece.id;
        let mut seat = |port: usize, index: u16| {
            if let Some(slot) = tables.ports.get_mut(port) {
                *slot = Some(PortSeat { datapath, index });
            }
        };
        match &piece.kind {
            PieceKind::Switch(switch) => {
                (0..)
                    .zip(&switch.ports)
                    .for_each(|(index, port)| seat(port.id.0 as usize, index));
            }
            PieceKind::Router(router) => {
                (0..)
                    .zip(&router.ports)
                    .for_each(|(index, port)| seat(port.id.0 as usize, index));
            }
        }
        tables.by_vni.insert(piece.vni, datapath);
        if let Some(slot) = tables.datapaths.get_mut(datapath.0 as usize) {
            *slot = Some(piece);
        }
    }
    tables
}
