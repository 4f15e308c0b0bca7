//! Who is called what: port names are unique in the whole topology (as in OVN's southbound
//! database), so that a reference needs only the port's name.

use hashbrown::HashMap;

use super::model::{RouterPort, SwitchPortKind, Topology};
use super::problem::{Place, Problem};

/// Where a port name is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner<'t> {
    Switch(&'t str),
    Router(&'t str),
}

impl<'t> Owner<'t> {
    /// The noun and the name of the datapath.
    fn parts(self) -> (&'static str, &'t str) {
        match self {
            Self::Switch(name) => ("switch", name),
            Self::Router(name) => ("router", name),
        }
    }

    fn place(self, port: &str) -> Place {
        let (noun, name) = self.parts();
        Place::at([noun, name, "port", port])
    }
}

/// Where every port is, and which switch port stands before which router port.
pub(super) struct Names<'t> {
    owners: HashMap<&'t str, Owner<'t>>,
    router_ports: HashMap<&'t str, (&'t str, &'t RouterPort)>,
    attached: HashMap<&'t str, (&'t str, &'t str)>,
}

impl<'t> Names<'t> {
    /// Indexes a topology; duplicate names are problems.
    pub(super) fn index(topology: &'t Topology, problems: &mut Vec<Problem>) -> Self {
        let mut names = Self {
            owners: HashMap::new(),
            router_ports: HashMap::new(),
            attached: HashMap::new(),
        };
        for (router, declared) in &topology.routers {
            for (port, body) in &declared.ports {
                names.claim(port, Owner::Router(router), problems);
                names.router_ports.insert(port, (router, body));
            }
        }
        for (switch, declared) in &topology.switches {
            for (port, body) in &declared.ports {
                names.claim(port, Owner::Switch(switch), problems);
                if let SwitchPortKind::Router { router_port } = &body.kind {
                    names.attach(router_port, switch, port, problems);
                }
            }
        }
        names.check_redirect_names(problems);
        names
    }

    fn claim(&mut self, port: &'t str, owner: Owner<'t>, problems: &mut Vec<Problem>) {
        let Some(other) = self.owners.insert(port, owner) else {
            return;
        };
        let (noun, name) = other.parts();
        problems.push(
            Problem::new(
                owner.place(port),
                format!("port `{port}` is also declared on {noun} `{name}`"),
            )
            .mend("port names are unique in the whole topology: rename one")
            .also(other.place(port), "the other declaration"),
        );
    }

    fn attach(
        &mut self,
        router_port: &'t str,
        switch: &'t str,
        port: &'t str,
        problems: &mut Vec<Problem>,
    ) {
        let Some((other_switch, other)) = self.attached.insert(router_port, (switch, port)) else {
            return;
        };
        problems.push(
            Problem::new(
                Place::at(["switch", switch, "port", port, "router_port"]),
                format!("router port `{router_port}` is already attached by port `{other}`"),
            )
            .mend("give the router one port for each switch port")
            .also(
                Place::at(["switch", other_switch, "port", other, "router_port"]),
                "attached here",
            ),
        );
    }

    /// A gateway port brings a chassisredirect port, whose name must be free too.
    fn check_redirect_names(&self, problems: &mut Vec<Problem>) {
        for (port, owner) in &self.owners {
            let Some(gateway) = port.strip_prefix("cr-") else {
                continue;
            };
            let Some((router, body)) = self.router_ports.get(gateway) else {
                continue;
            };
            if !body.gateway_chassis.is_empty() {
                problems.push(
                    Problem::new(
                        owner.place(port),
                        format!("`{port}` is the name of the chassisredirect port of `{gateway}`"),
                    )
                    .mend("rename this port")
                    .also(
                        Place::at(["router", router, "port", gateway, "gateway_chassis"]),
                        "makes it a gateway port",
                    ),
                );
            }
        }
    }

    /// Where a port of any kind is declared.
    pub(super) fn owner(&self, port: &str) -> Option<Owner<'t>> {
        self.owners.get(port).copied()
    }

    /// A router port and the router it belongs to.
    pub(super) fn router_port(&self, port: &str) -> Option<(&'t str, &'t RouterPort)> {
        self.router_ports.get(port).copied()
    }

    /// The names of all router ports.
    pub(super) fn router_port_names(&self) -> impl Iterator<Item = &'t str> {
        self.router_ports.keys().copied()
    }

    /// The switch and the switch port that a router port is attached by.
    pub(super) fn attachment(&self, router_port: &str) -> Option<(&'t str, &'t str)> {
        self.attached.get(router_port).copied()
    }
}

/// Beyond this many problems nobody reads suggestions, and looking for them would take long.
const MOST_SUGGESTIONS: usize = 64;

/// Reports a name that is not there, with the nearest one that is as the mend; without a near one
/// the mend that the problem already carries stays.
pub(super) fn push_missing<'a>(
    mut problem: Problem,
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    problems: &mut Vec<Problem>,
) {
    if problems.len() < MOST_SUGGESTIONS
        && let Some(name) = nearest(wrong, candidates)
    {
        problem.mend = Some(format!("did you mean `{name}`?"));
    }
    problems.push(problem);
}

/// The candidate most like a misspelt name, if one is like it at all.
pub(crate) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wrong)
        .map(|candidate| (strsim::jaro_winkler(wrong, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}
