//! BFD in UDP: over one hop (RFC 5881), over several (RFC 5883), and between chassis inside Geneve as OVN runs it.

use std::net::{IpAddr, Ipv4Addr};

use sluice_net::checksum::{finish, ones_complement_sum, pseudo};
use sluice_net::wire::bfd::{self, FIRST_SOURCE_PORT};
use sluice_net::wire::ip_proto;
use sluice_net::wire::udp::{self, UdpHeader};
use sluice_net::{Builder, Fragment, Headers, L4, Mac};
use zerocopy::FromBytes;

use super::discard::Discard;

/// TTL of all packets (RFC 5881 section 5): over one hop nobody from afar can send such a packet.
pub const TTL: u8 = 255;
/// DSCP CS6 (RFC 2474 section 4.2.2.2), network control, as OVS sends.
const TOS: u8 = 0xc0;
/// Where frames inside tunnels go.
pub const TUNNEL_MAC: Mac = Mac([0x00, 0x23, 0x20, 0x00, 0x00, 0x01]);
/// The addresses inside tunnels, the same in both directions.
const TUNNEL_SRC: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const TUNNEL_DST: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 0);

/// How many routers are between the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// None: port 3784, TTL 255.
    SingleHop,
    /// Some: port 4784.
    Multihop,
    /// A tunnel between chassis; the addresses are those of the tunnel's ends.
    Tunnel,
}

/// Between whom a session is. A packet that names no session belongs to the one of its path (RFC 5881 section 3,
/// RFC 5883 section 4); one that names a session must come by its path. `N` names the network, or the interface, in
/// which the addresses mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path<N> {
    /// The network.
    pub network: N,
    /// How many routers.
    pub reach: Reach,
    /// Address of this side.
    pub local: IpAddr,
    /// Address of the other side.
    pub peer: IpAddr,
}

/// A packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent<N> {
    /// Between whom.
    pub path: Path<N>,
    /// Source port, the same for all packets of a session.
    pub source_port: u16,
    /// The control packet.
    pub payload: Vec<u8>,
}

impl<N> Sent<N> {
    /// The packet as a frame from `own` to the next hop's MAC `far`. Inside a tunnel it is the inner frame: `own` is any
    /// MAC that the tunnel is given, `far` without meaning, and a header with VNI 0 and no option goes in front.
    ///
    /// # Panics
    /// When the addresses of the path are of different families.
    #[must_use]
    pub fn frame(&self, own: Mac, far: Mac) -> Vec<u8> {
        let Path { local, peer, .. } = self.path;
        let frame = match self.path.reach {
            Reach::SingleHop | Reach::Multihop => Builder::ethernet(own, far).ip(local, peer),
            Reach::Tunnel => Builder::ethernet(own, TUNNEL_MAC).ipv4(TUNNEL_SRC, TUNNEL_DST),
        };
        let port = match self.path.reach {
            Reach::SingleHop | Reach::Tunnel => bfd::PORT,
            Reach::Multihop => bfd::PORT_MULTIHOP,
        };
        let frame = frame.ttl(TTL).tos(TOS).udp(self.source_port, port);
        let frame = match self.path.reach {
            Reach::Tunnel => frame.without_udp_checksum(),
            Reach::SingleHop | Reach::Multihop => frame,
        };
        frame.payload(&self.payload).build()
    }
}

/// A packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'f> {
    /// Over one hop or several, as the destination port says.
    pub reach: Reach,
    /// Destination address.
    pub local: IpAddr,
    /// Source address.
    pub peer: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The control packet.
    pub payload: &'f [u8],
}

impl<'f> Datagram<'f> {
    /// Reads a frame; `None` when it is no BFD. Pieces are none: nobody has a reason to cut 52 bytes.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(frame: &'f [u8], headers: &Headers) -> Result<Option<Self>, Discard> {
        let Some(ip) = headers.ip() else {
            return Ok(None);
        };
        let reach = match (ip.l4, ip.fragment) {
            (L4::Udp { dst: bfd::PORT, .. }, Fragment::None) => Reach::SingleHop,
            (
                L4::Udp {
                    dst: bfd::PORT_MULTIHOP,
                    ..
                },
                Fragment::None,
            ) => Reach::Multihop,
            _ => return Ok(None),
        };
        let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
        let datagram = frame.get(usize::from(ip.l4_offset)..end);
        let datagram = datagram.ok_or(Discard::Malformed(bfd::BfdError::Truncated))?;
        let (udp, _) = UdpHeader::ref_from_prefix(datagram)
            .map_err(|_| Discard::Malformed(bfd::BfdError::Truncated))?;
        let len = usize::from(udp.len.get());
        let datagram = datagram
            .get(..len)
            .ok_or(Discard::Malformed(bfd::BfdError::Truncated))?;
        let payload = datagram.get(udp::LEN..);
        let payload = payload.ok_or(Discard::Malformed(bfd::BfdError::Truncated))?;
        let unchecked = udp.checksum.get() == 0 && ip.src.is_ipv4();
        let sum = pseudo(ip.src, ip.dst, ip_proto::UDP, len as u32);
        if !unchecked && finish(ones_complement_sum(datagram, sum)) != 0 {
            return Err(Discard::Checksum);
        }
        Ok(Some(Self {
            reach,
            local: ip.dst,
            peer: ip.src,
            ttl: ip.ttl,
            payload,
        }))
    }

    /// By which path it came; `tunnel` has this node's and the other's address when it was inside one.
    #[must_use]
    pub const fn path<N: Copy>(&self, network: N, tunnel: Option<(IpAddr, IpAddr)>) -> Path<N> {
        match (tunnel, self.reach) {
            (Some((local, peer)), Reach::SingleHop) => Path {
                network,
                reach: Reach::Tunnel,
                local,
                peer,
            },
            _ => Path {
                network,
                reach: self.reach,
                local: self.local,
                peer: self.peer,
            },
        }
    }
}

/// How many source ports there are.
pub(super) const SOURCE_PORTS: u32 = 1 << 14;

/// The `nth` source port (RFC 5881 section 4); they begin anew after the last.
pub(super) const fn source_port(nth: u32) -> u16 {
    FIRST_SOURCE_PORT + (nth % SOURCE_PORTS) as u16
}
