//! A burst at a glance.

use crate::glance::{self, Addresses, Glance};
use crate::ids::{PathId, WorkerId, Zone};
use crate::io::{BURST, DeviceId, Frame};
use crate::tables::Tables;
use crate::worker::door::{Behind, Door, Doors};
use crate::worker::places::Places;

/// A packet that may go on a cached way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) glance: Glance,
    pub(super) door: Door,
    /// Cached way of one that goes by lane.
    pub(super) way: PathId,
    /// Bytes to take off the front: outer headers, or the VLAN tag (the MACs before it are written anew).
    pub(super) skip: u16,
    /// Bytes of the logical frame as it came in.
    pub(super) len: u16,
    /// Where it ends in the received one.
    end: u16,
    /// What has become of it.
    pub(super) fate: Fate,
}

/// What has become of a frame of a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// It must walk.
    #[default]
    Walks,
    /// Its connection is of this worker.
    Handed(WorkerId),
    /// It is edited, and leaves by this device.
    Leaves(DeviceId),
    /// It is dropped, and counted.
    Dropped,
}

impl Seen {
    /// The whole frame is the logical one, but for its tag.
    #[inline]
    fn whole(&mut self, frame: &[u8], tag: usize) {
        let len = frame.len() as u16;
        (self.skip, self.len, self.end) = (tag as u16, len, len);
    }

    /// Takes off what is around the logical frame.
    #[inline]
    pub(super) fn strip<F: Frame>(&self, frame: &mut F) {
        frame.truncate(usize::from(self.end));
        frame.pull(usize::from(self.skip));
    }
}

/// The frames of a burst that were taken at a glance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Those of IPv4 that have a flow: their connection tells.
    pub(super) flows: Places,
    /// Those of IPv6 that have one.
    pub(super) flows_v6: Places,
    /// Those that have none: their lane tells.
    pub(super) lanes: Places,
    /// Of all of them.
    pub(super) bytes: u64,
}

impl Taken {
    #[inline]
    pub(super) fn add(&mut self, at: usize, seen: &Seen) {
        let places = match (seen.door.zone, seen.glance.addresses) {
            (Zone::NONE, _) => &mut self.lanes,
            (_, Addresses::V6(..)) => &mut self.flows_v6,
            _ => &mut self.flows,
        };
        places.add(at);
        self.bytes += u64::from(seen.len);
    }

    pub(super) fn all(&self) -> Places {
        self.flows.and(self.flows_v6).and(self.lanes)
    }
}

/// Glances at the frames of a burst that have no tag, and enter by `door`. Apart from the worker, as the functions below, so
/// that all that it needs stays in registers.
#[inline(never)]
pub(super) fn glance_all<F: Frame>(frames: &[F], seen: &mut [Seen; BURST], door: &Door) -> Taken {
    let mut taken = Taken::default();
    for (at, (frame, seen)) in frames.iter().zip(seen).enumerate() {
        seen.fate = Fate::Walks;
        let data = frame.data();
        if seen.glance.read_untagged(data).is_some() {
            seen.door = *door;
            seen.whole(data, 0);
            taken.add(at, seen);
        }
    }
    taken
}

/// Glances at the frames of a burst that are tunnel packets without a tag.
#[inline(never)]
pub(super) fn glance_inside<F: Frame>(
    frames: &[F],
    seen: &mut [Seen; BURST],
    doors: &mut Doors,
    tables: &Tables,
) -> Taken {
    let mut taken = Taken::default();
    for (at, (frame, seen)) in frames.iter().zip(seen).enumerate() {
        seen.fate = Fate::Walks;
        if look_inside(doors, tables, frame.data(), 0, seen).is_some() {
            taken.add(at, seen);
        }
    }
    taken
}

/// Glances at any frame of a device and finds what it enters.
pub(super) fn look(
    doors: &mut Doors,
    tables: &Tables,
    device: DeviceId,
    frame: &[u8],
    seen: &mut Seen,
) -> Option<()> {
    let tagging = glance::tagging(frame)?;
    match doors.device(tables, device, tagging.vlan)? {
        Behind::Door(door) => {
            seen.door = door;
            seen.whole(frame, tagging.tag);
            seen.glance.read(frame, tagging)
        }
        Behind::Underlay => look_inside(doors, tables, frame, tagging.tag, seen),
    }
}

/// Glances at a tunnel packet with a tag of so many bytes, and what is in it.
#[inline(always)]
fn look_inside(
    doors: &mut Doors,
    tables: &Tables,
    frame: &[u8],
    tag: usize,
    seen: &mut Seen,
) -> Option<()> {
    let underlay = tables.underlay.as_ref()?;
    let ports = (underlay.geneve_port, underlay.vxlan_port);
    let outer = glance::outer(frame, tag, ports)?;
    if outer.mac != underlay.mac || outer.dst != underlay.address.addr().to_bits() {
        return None;
    }
    seen.door = *doors.tunnel(tables, outer.origin)?;
    let inner = frame.get(usize::from(outer.inner)..usize::from(outer.end))?;
    seen.len = inner.len() as u16;
    (seen.skip, seen.end) = (outer.inner, outer.end);
    // An inner tag means something only to the switch; let it look.
    seen.glance.read_untagged(inner)?;
    // Congestion that is to be carried over changes the packet (RFC 6040 section 4.2).
    let same = outer.tos & 0b11 == seen.glance.tos & 0b11;
    (outer.tos & 0b11 == 0 || same).then_some(())
}
