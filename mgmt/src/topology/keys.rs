//! Tunnel keys: those declared are kept, the others are a hash of the name.
//!
//! Two names with one key are an error, never resolved silently: moving one of them would make
//! its key depend on the other's existence, and between two nodes' reloads one key would mean two
//! networks.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::hash::name_hash;
use super::problem::{Place, Problem};

/// Keys of switches and routers: 24 bits, the VNI.
pub(super) const LAST_DATAPATH_KEY: u32 = 0x00ff_ffff;
/// Keys of ports: 15 bits.
pub(super) const LAST_PORT_KEY: u32 = 0x7fff;

/// Somebody who needs a key.
pub(super) struct Claim<'t> {
    /// Hashed with the name, so that a switch and a router of one name differ.
    pub role: &'static str,
    /// Who it is.
    pub name: &'t str,
    /// The key that was declared.
    pub declared: Option<u32>,
}

/// The keys of all claims of one key space, 1 to `last`, in their order.
///
/// `place` says where the key of a claim is, or would be, declared.
pub(super) fn assign<'t>(
    claims: &[Claim<'t>],
    last: u32,
    place: impl Fn(&Claim<'t>) -> Place,
    problems: &mut Vec<Problem>,
) -> Vec<u32> {
    let mut holders: HashMap<u32, usize> = HashMap::with_capacity(claims.len());
    let mut keys = vec![0; claims.len()];
    let mut clashes = Vec::new();
    // What was declared goes first: of two that clash, the derived one has to be given a key.
    let order = |declared: bool| {
        let claims = claims.iter().enumerate();
        claims.filter(move |(_, claim)| claim.declared.is_some() == declared)
    };
    for (index, claim) in order(true).chain(order(false)) {
        let key = claim.declared.unwrap_or_else(|| derived(claim, last, 0));
        if let Some(slot) = keys.get_mut(index) {
            *slot = key;
        }
        if claim.declared.is_some() && !(1..=last).contains(&key) {
            problems.push(out_of_range(place(claim), key, last));
            continue;
        }
        match holders.entry(key) {
            Entry::Vacant(slot) => _ = slot.insert(index),
            Entry::Occupied(holder) => clashes.push((claim, key, *holder.get())),
        }
    }
    // Only now are all keys known, so that no proposal makes the next clash.
    for (claim, key, holder) in clashes {
        let free = (1..=u32::MAX)
            .map(|attempt| derived(claim, last, attempt))
            .take(claims.len() * 8 + 64)
            .find(|candidate| !holders.contains_key(candidate));
        if let (Some(free), Some(other)) = (free, claims.get(holder)) {
            holders.insert(free, holder);
            problems.push(clash(&place, claim, other, key, free));
        }
    }
    keys
}

fn derived(claim: &Claim<'_>, last: u32, attempt: u32) -> u32 {
    let reduced = name_hash(claim.role, claim.name, attempt) % u64::from(last);
    1 + reduced as u32
}

fn out_of_range(place: Place, key: u32, last: u32) -> Problem {
    Problem::new(place, format!("key {key} is outside 1 to {last}"))
        .mend("choose another, or leave it out to derive it from the name")
}

fn clash<'t>(
    place: impl Fn(&Claim<'t>) -> Place,
    claim: &Claim<'t>,
    other: &Claim<'t>,
    key: u32,
    free: u32,
) -> Problem {
    let origin = |claim: &Claim<'_>| match claim.declared {
        Some(_) => "declared",
        None => "derived from its name",
    };
    let place_of_key = place(claim);
    let field = place_of_key.path.last().cloned().unwrap_or_default();
    Problem::new(
        place_of_key,
        format!(
            "{} `{}` and {} `{}` have the same key {key} (the first is {}, the second {})",
            claim.role,
            claim.name,
            other.role,
            other.name,
            origin(claim),
            origin(other)
        ),
    )
    .mend(format!("a free one for `{}`: {field} = {free}", claim.name))
    .also(place(other), format!("key {key} is taken here"))
}
