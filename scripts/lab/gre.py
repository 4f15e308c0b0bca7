"""An end of a GRE tunnel (RFC 2784) without the kernel's module: a tun device and a raw socket.

    gre.py DEVICE REMOTE

Packets of the device, IPv4 or IPv6, travel in GRE to REMOTE, an address of either family; what comes from there is the device's.
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
GRE = 47
ETHERTYPES = {4: 0x0800, 6: 0x86DD}


def device(name):
    """A tun device, as a file."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def main(name, remote):
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    raw = socket.socket(family, socket.SOCK_RAW, GRE)
    raw.connect((remote, 0))
    tun = device(name)
    while True:
        for ready in select.select([raw, tun], [], [])[0]:
            if ready == tun:
                packet = os.read(tun, 65535)
                header = struct.pack("!HH", 0, ETHERTYPES[packet[0] >> 4])
                try:
                    raw.send(header + packet)
                except OSError:
                    pass  # An ICMP error that came back: the next packet may pass.
            else:
                try:
                    packet = raw.recv(65535)
                except OSError:
                    continue
                if family == socket.AF_INET:
                    # A raw socket of IPv4 has the header too.
                    packet = packet[(packet[0] & 15) * 4 :]
                if packet[:2] == b"\0\0":
                    os.write(tun, packet[4:])


main(*sys.argv[1:])
