"""Sends packets of connections that nobody has seen: `IFACE KIND SOURCE TARGET SMAC DMAC RATE SECONDS REPORT`.

KIND is `syn` (SYNs from everywhere to port 80 of TARGET), `scan` (SYNs of SOURCE to every port of TARGET) or `udp`
(datagrams of SOURCE to everywhere). All frames are made before the first is sent, each with a tuple of its own and right
checksums; they go out by sendmmsg on a raw socket. REPORT gets how many left and how long that took.
"""

import ctypes
import json
import os
import socket
import struct
import sys
import time
from array import array
from pathlib import Path

# Frames of one call: less than the receiver's ring holds.
BATCH = 64
# RFC 2544's network for tests: where strangers live.
STRANGERS = socket.inet_aton("198.18.0.0")
FRAME = 60
# Places in a frame.
IP_ID, IP_SUM, IP_SRC, IP_DST, L4 = 18, 24, 26, 30, 34
TCP_SEQ, TCP_SUM = L4 + 4, L4 + 16
# Of packet(7).
SOL_PACKET, QDISC_BYPASS = 263, 20


def checksum(data):
    """The internet checksum of an even number of bytes."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def template(kind, source, target, macs):
    """A frame in which what differs from frame to frame is 0."""
    udp = kind == "udp"
    smac, dmac = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
    if udp:
        rest = struct.pack(">HHHH", 0, 0, FRAME - L4, 0)
    else:
        rest = struct.pack(">HHIIBBHHH", 0, 0, 0, 0, 5 << 4, 2, 64240, 0, 0)
    length = FRAME - 14 if udp else 20 + len(rest)
    head = (0x45, 0, length, 0, 0x4000, 64, 17 if udp else 6, 0, source, target)
    ip = struct.pack(">BBHHHBBH4s4s", *head)
    return bytearray((dmac + smac + b"\x08\x00" + ip + rest).ljust(FRAME, b"\0"))


def put(frames, place, numbers):
    """Writes one 16-bit number into each frame."""
    octets = array("H", numbers)
    if sys.byteorder == "little":
        octets.byteswap()
    octets = octets.tobytes()
    frames[place::FRAME] = octets[0::2]
    frames[place + 1 :: FRAME] = octets[1::2]


def build(kind, source, target, macs, count):
    """So many frames, one after the other.

    What differs is made up for in the identification and the sequence number, so that the sums are those of the first.
    """
    spread = [n * 40503 & 0xFFFF for n in range(count)]
    turn = [n >> 16 for n in range(count)]
    if kind == "scan":
        address, source_port, target_port = [0] * count, [40000 + t for t in turn], spread
    else:
        address = spread
        source_port = [1024 + (n * 7919 + t) % 60000 for n, t in enumerate(turn)]
        target_port = [1024 + (n * 104729 + t) % 60000 for n, t in enumerate(turn)]
    source, target = (socket.inet_aton(address) for address in (source, target))
    if kind == "syn":
        source, target_port = STRANGERS, [80] * count
    elif kind == "udp":
        target = STRANGERS
    one = template(kind, source, target, macs)
    # Each sum below is of numbers that add up to a multiple of 65535, which is nothing to the checksum.
    struct.pack_into(">H", one, IP_SUM, checksum(bytes(one[14:L4])))
    if kind != "udp":
        pseudo = bytes(one[IP_SRC:L4]) + struct.pack(">HH", 6, 20)
        struct.pack_into(">H", one, TCP_SUM, checksum(pseudo + bytes(one[L4 : L4 + 20])))
    frames = bytearray(one * count)
    put(frames, IP_DST + 2 if kind == "udp" else IP_SRC + 2, _added(one, kind, address))
    put(frames, IP_ID, [65535 - a for a in address])
    put(frames, L4, source_port)
    put(frames, L4 + 2, target_port)
    if kind != "udp":
        rows = zip(address, source_port, target_port)
        put(frames, TCP_SEQ + 2, [-(a + s + d) % 65535 for a, s, d in rows])
    return frames


def _added(one, kind, numbers):
    """The last 16 bits of the address that differs."""
    if kind != "scan":
        return numbers
    (low,) = struct.unpack_from(">H", one, IP_SRC + 2)
    return [low] * len(numbers)


class Sender:
    """Frames on their way out of an interface."""

    def __init__(self, iface, frames):
        self.count = len(frames) // FRAME
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, QDISC_BYPASS, 1)
        self._socket.bind((iface, 0))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._frames = frames
        base = ctypes.addressof(ctypes.c_char.from_buffer(frames))
        # struct iovec: where and how long. struct mmsghdr of a 64-bit machine: eight words, of which the third and fourth
        # say where the iovecs are and how many.
        self._pieces = array("Q", bytes(16 * self.count))
        self._pieces[0::2] = array("Q", range(base, base + FRAME * self.count, FRAME))
        self._pieces[1::2] = array("Q", [FRAME]) * self.count
        at = self._pieces.buffer_info()[0]
        self._heads = array("Q", bytes(64 * self.count))
        self._heads[2::8] = array("Q", range(at, at + 16 * self.count, 16))
        self._heads[3::8] = array("Q", [1]) * self.count

    def send(self, first, count):
        """Sends some of the frames; returns how many left."""
        head = ctypes.c_void_p(self._heads.buffer_info()[0] + 64 * first)
        done = self._libc.sendmmsg(self._socket.fileno(), head, count, 0)
        if done < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return done

    def run(self, rate):
        """Sends all, so many a second, and returns how long it took."""
        begin, sent = time.monotonic(), 0
        while sent < self.count:
            due = min(self.count, int((time.monotonic() - begin) * rate) + 1)
            if due - sent < min(BATCH, self.count - sent):
                time.sleep(BATCH / rate / 2)
                continue
            sent += self.send(sent, min(BATCH, due - sent))
        return time.monotonic() - begin


if __name__ == "__main__":
    if len(sys.argv) != 10:
        sys.exit(__doc__)
    iface, kind, source, target, smac, dmac, rate, seconds, report = sys.argv[1:]
    made = build(kind, source, target, (smac, dmac), int(float(rate) * float(seconds)))
    sender = Sender(iface, made)
    took = sender.run(float(rate))
    # Written at once: whoever waits for it reads it whole.
    scratch = Path(f"{report}.new")
    scratch.write_text(json.dumps({"sent": sender.count, "seconds": took}))
    scratch.rename(report)
