"""Large UDP datagrams and their echoes, cut by the system or, backwards, by hand.

    udp_pieces.py serve PORT [backwards]
    udp_pieces.py ask ADDRESS PORT SIZE COUNT [backwards]

`serve` sends every datagram back. `ask` sends COUNT datagrams one after the other, waits two seconds for each echo, and prints
a line of JSON: how many came back unchanged. Backwards, the fragments of a datagram leave the last one first, over IPv4 by a raw socket.
"""

import json
import random
import socket
import struct
import sys

# Bytes of UDP that a fragment has, a multiple of 8: less than any link here takes.
PIECE = 1400
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)


def fragments(source, target, ports, data):
    """The IPv4 fragments of a UDP datagram, in order, with headers that the system completes."""
    header = struct.pack("!HHHH", *ports, 8 + len(data), 0)
    payload = header + data
    identification = random.randrange(1, 1 << 16)
    pieces = []
    for offset in range(0, len(payload), PIECE):
        part = payload[offset : offset + PIECE]
        more = 0x2000 if offset + PIECE < len(payload) else 0
        ip = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(part), identification, more | offset // 8, 64,
            socket.IPPROTO_UDP, 0, socket.inet_aton(source), socket.inet_aton(target),
        )
        pieces.append(ip + part)
    return pieces


def send_backwards(source, target, ports, data):
    """Sends the fragments of a datagram, the last one first."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for piece in reversed(fragments(source, target, ports, data)):
            raw.sendto(piece, (target, 0))


def serve(port, backwards):
    """Echoes datagrams for ever, from the address that they were sent to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inlet:
        inlet.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        inlet.bind(("0.0.0.0", port))
        while True:
            data, ancillary, _, sender = inlet.recvmsg(65535, socket.CMSG_SPACE(12))
            told = ancillary[0][2]
            if backwards:
                send_backwards(socket.inet_ntoa(told[8:12]), sender[0], (port, sender[1]), data)
            else:
                inlet.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, told[:8] + b"\0" * 4)], 0, sender)


def ask(address, port, size, count, backwards):
    """How many of these datagrams come back."""
    good = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((address, port))
        out.settimeout(2)
        source, own = out.getsockname()
        for number in range(count):
            data = random.Random(number).randbytes(size)
            if backwards:
                send_backwards(source, address, (own, port), data)
            else:
                out.send(data)
            try:
                good += out.recv(65535) == data
            except OSError:
                continue
    print(json.dumps({"sent": count, "good": good}))


def main(words):
    """Reads the command line."""
    backwards = words[-1] == "backwards"
    match words[:-1] if backwards else words:
        case ["serve", port]:
            serve(int(port), backwards)
        case ["ask", address, port, size, count]:
            ask(address, int(port), int(size), int(count), backwards)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
