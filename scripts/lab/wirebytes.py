"""A Geneve packet taken apart byte by byte, without anybody else's decoder."""

import struct
from dataclasses import dataclass

GENEVE_PORT = 6081


@dataclass(frozen=True)
class Geneve:
    """What stands in a Geneve packet over IPv4, from the outer IP header on."""

    source: str
    target: str
    dscp: int
    identification: int
    dont_fragment: bool
    ttl: int
    source_port: int
    udp_checksum: int
    udp_checksum_right: bool
    header: bytes
    options: bytes
    inner: bytes

    @property
    def vni(self):
        """The 24-bit network identifier."""
        return int.from_bytes(self.header[4:7], "big")

    @property
    def keys(self):
        """Logical input and output port keys of OVN's option."""
        value = int.from_bytes(self.options[4:8], "big")
        return value >> 16 & 0x7FFF, value & 0xFFFF

    @property
    def inner_macs(self):
        """Destination and source MAC of the inner frame."""
        return mac(self.inner[:6]), mac(self.inner[6:12])

    @property
    def inner_ttl(self):
        """TTL of the inner IPv4 packet."""
        return self.inner[14 + 8]


def mac(octets):
    """A MAC address as people write it."""
    return ":".join(f"{octet:02x}" for octet in octets)


def address(octets):
    """An IPv4 address as people write it."""
    return ".".join(str(octet) for octet in octets)


def ones_complement(octets):
    """The Internet checksum's sum of the octets; 0xffff over a packet with a right checksum."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def parse(frame):
    """Takes an Ethernet frame apart; None when it is not Geneve over IPv4."""
    if frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4 or frame[23] != 17:
        return None
    ip = frame[14 : 14 + int.from_bytes(frame[16:18], "big")]
    udp = ip[(ip[0] & 15) * 4 :]
    if int.from_bytes(udp[2:4], "big") != GENEVE_PORT:
        return None
    geneve = udp[8:]
    options_end = 8 + (geneve[0] & 0x3F) * 4
    pseudo = ip[12:20] + bytes([0, 17]) + udp[4:6]
    return Geneve(
        source=address(ip[12:16]),
        target=address(ip[16:20]),
        dscp=ip[1] >> 2,
        identification=int.from_bytes(ip[4:6], "big"),
        dont_fragment=bool(ip[6] & 0x40),
        ttl=ip[8],
        source_port=int.from_bytes(udp[0:2], "big"),
        udp_checksum=int.from_bytes(udp[6:8], "big"),
        udp_checksum_right=ones_complement(pseudo + udp) == 0xFFFF,
        header=geneve[:8],
        options=geneve[8:options_end],
        inner=geneve[options_end:],
    )
