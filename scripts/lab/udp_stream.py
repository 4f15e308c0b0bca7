"""Sender and receiver of a numbered UDP stream, one process each.

    udp_stream.py send ADDRESS PORT RATE SECONDS REPORT
    udp_stream.py receive PORT REPORT

The receiver ends two seconds after the last packet of the stream, or when 30 s pass without any.
"""

import json
import socket
import struct
import sys
import time

NUMBER = struct.Struct("!QQ")
PAYLOAD = 200
# Numbers from here on say that the stream is over; several are sent, one is enough.
THE_END = 1 << 63


def send(address, port, rate, seconds, report):
    """Sends `rate` packets a second, each at its own time of a fixed schedule."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        out.connect((address, port))
        total = int(rate * seconds)
        begin = time.monotonic()
        refused = 0
        for number in range(total):
            due = begin + number / rate
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            refused += not _sent(out, number)
        for last in range(5):
            time.sleep(0.1)
            _sent(out, THE_END + last)
    with open(report, "w", encoding="ascii") as file:
        json.dump({"sent": total, "refused": refused}, file)


def _sent(out, number):
    packet = NUMBER.pack(number, 0).ljust(PAYLOAD, b"\0")
    for _ in range(3):
        try:
            out.send(packet)
            return True
        except OSError:
            # An ICMP error about an earlier packet shows here, once; this packet is not out yet.
            continue
    return False


def receive(port, report):
    """Notes the number and source of every packet."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inlet:
        inlet.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        inlet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        inlet.bind(("::", port))
        inlet.settimeout(30)
        numbers, sources = [], set()
        last, longest = None, 0.0
        try:
            while True:
                packet, source = inlet.recvfrom(2048)
                now = time.monotonic()
                number, _ = NUMBER.unpack_from(packet)
                if number >= THE_END:
                    inlet.settimeout(2)
                    continue
                longest = max(longest, now - last) if last else longest
                last = now
                numbers.append(number)
                sources.add(source[0].removeprefix("::ffff:"))
        except TimeoutError:
            pass
    with open(report, "w", encoding="ascii") as file:
        json.dump(
            {
                "numbers": numbers,
                "sources": sorted(sources),
                "longest_gap_ms": round(longest * 1000, 1),
            },
            file,
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", address, port, rate, seconds, report]:
            send(address, int(port), float(rate), float(seconds), report)
        case ["receive", port, report]:
            receive(int(port), report)
        case _:
            sys.exit(__doc__)
