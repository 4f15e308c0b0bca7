//! Who holds a gateway port: the first live chassis of its list.
//!
//! Every node decides for itself from the same list, so no message is needed. What is alive is an input;
//! whoever watches the chassis (BFD) feeds it.

use std::hash::Hash;

use hashbrown::{HashMap, HashSet};

/// Which chassis are alive. This node always is, to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Alive {
    /// Nobody watches: all count as alive.
    #[default]
    All,
    /// These, by name.
    Only(HashSet<String>),
}

impl Alive {
    /// Is this chassis alive?
    #[must_use]
    pub fn contains(&self, chassis: &str) -> bool {
        match self {
            Alive::All => true,
            Alive::Only(names) => names.contains(chassis),
        }
    }
}

/// One who may hold a gateway port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a, T> {
    /// Name of the chassis.
    pub chassis: &'a str,
    /// The way to it; `None` for this node.
    pub tunnel: Option<T>,
}

/// Who holds a gateway port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<T> {
    /// No chassis of the list is alive.
    Nobody,
    /// This node.
    Here,
    /// Another chassis, by this tunnel.
    There(T),
}

/// A change of the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<R, T> {
    /// The role of which gateway port.
    pub role: R,
    /// Who held it.
    pub before: Holder<T>,
    /// Who holds it now.
    pub after: Holder<T>,
}

/// The first live candidate; candidates are in order of falling priority.
pub fn decide<'a, T>(
    candidates: impl IntoIterator<Item = Candidate<'a, T>>,
    alive: &Alive,
) -> Holder<T> {
    let live = |candidate: &Candidate<'a, T>| {
        candidate.tunnel.is_none() || alive.contains(candidate.chassis)
    };
    match candidates.into_iter().find(live) {
        None => Holder::Nobody,
        Some(Candidate { tunnel: None, .. }) => Holder::Here,
        Some(Candidate {
            tunnel: Some(tunnel),
            ..
        }) => Holder::There(tunnel),
    }
}

/// The holders of all gateway ports; tells what changed.
#[derive(Clone, Debug)]
pub struct RoleMachine<R, T> {
    holders: HashMap<R, Holder<T>>,
}

impl<R, T> Default for RoleMachine<R, T> {
    fn default() -> Self {
        Self {
            holders: HashMap::new(),
        }
    }
}

impl<R: Copy + Eq + Hash, T: Copy + Eq> RoleMachine<R, T> {
    /// Takes a new decision for every gateway port. Roles not named any more have nobody.
    pub fn update(
        &mut self,
        decisions: impl IntoIterator<Item = (R, Holder<T>)>,
    ) -> Vec<Change<R, T>> {
        let mut gone = std::mem::take(&mut self.holders);
        let mut changes = Vec::new();
        for (role, after) in decisions {
            let before = gone.remove(&role).unwrap_or(Holder::Nobody);
            self.holders.insert(role, after);
            if before != after {
                changes.push(Change {
                    role,
                    before,
                    after,
                });
            }
        }
        let left = gone
            .into_iter()
            .filter(|(_, before)| *before != Holder::Nobody);
        changes.extend(left.map(|(role, before)| Change {
            role,
            before,
            after: Holder::Nobody,
        }));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Holder::{Here, Nobody, There};

    fn only(names: &[&str]) -> Alive {
        Alive::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn the_first_live_chassis_holds() {
        let list = [("gw1", Some(1)), ("gw2", None), ("gw3", Some(3))];
        let without_us = [("gw1", Some(1)), ("gw3", Some(3))];
        type List<'a> = &'a [(&'a str, Option<u32>)];
        let cases: [(&str, List<'_>, Alive, Holder<u32>); 8] = [
            ("all alive", &list, Alive::All, There(1)),
            ("all listed", &list, only(&["gw1", "gw2", "gw3"]), There(1)),
            ("first dead", &list, only(&["gw2", "gw3"]), Here),
            ("alone", &list, only(&[]), Here),
            (
                "we are last",
                &[("gw3", Some(3)), ("gw2", None)],
                only(&["gw3"]),
                There(3),
            ),
            (
                "not ours, first dead",
                &without_us,
                only(&["gw3"]),
                There(3),
            ),
            ("not ours, all dead", &without_us, only(&["gw2"]), Nobody),
            ("empty list", &[], Alive::All, Nobody),
        ];
        for (name, list, alive, expected) in cases {
            let candidates = list.iter().map(|(chassis, tunnel)| Candidate {
                chassis,
                tunnel: *tunnel,
            });
            assert_eq!(decide(candidates, &alive), expected, "{name}");
        }
    }

    #[test]
    fn only_changes_are_told() {
        let mut machine = RoleMachine::default();
        let change = |role, before, after| Change::<u32, u32> {
            role,
            before,
            after,
        };
        assert_eq!(
            machine.update([(1, Here), (2, Nobody)]),
            [change(1, Nobody, Here)]
        );
        assert_eq!(machine.update([(1, Here), (2, Nobody)]), []);
        assert_eq!(
            machine.update([(1, There(4)), (2, Here)]),
            [change(1, Here, There(4)), change(2, Nobody, Here)]
        );
        assert_eq!(machine.update([(2, Here)]), [change(1, There(4), Nobody)]);
        assert_eq!(
            machine.update([(1, Here), (2, Here)]),
            [change(1, Nobody, Here)]
        );
    }
}
