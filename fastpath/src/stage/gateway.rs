//! Distributed gateway ports: processed on the active chassis, redirected by all others.

use std::ops::ControlFlow::{Break, Continue};

use crate::ids::TunnelId;
use crate::learned::{Learned, Role};
use crate::tables::{RoleId, RouterPort};
use crate::verdict::{DropReason, Step, Verdict};

/// Where packets of a gateway port go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// This node does it.
    Here,
    /// Another chassis does it.
    At(TunnelId),
}

/// Who holds the gateway port with this role.
#[inline]
pub fn seat(learned: &Learned, role: RoleId) -> Step<Seat> {
    match learned.roles.get(role) {
        Role::Active => Continue(Seat::Here),
        Role::Backup(tunnel) => Continue(Seat::At(tunnel)),
        Role::Nobody => Break(Verdict::Drop(DropReason::GatewayInactive)),
    }
}

/// Whether packets that leave by `port` leave from this node. Ports that are no gateway ports do.
#[inline]
pub fn egress(learned: &Learned, port: &RouterPort) -> Step<Seat> {
    match &port.gateway {
        None => Continue(Seat::Here),
        Some(gateway) => seat(learned, gateway.role),
    }
}
