"""What a tester does by hand inside a namespace: ping, traceroute, fetch, transfer, count."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from netns import CommandFailed, wait_for

HERE = Path(__file__).resolve().parent
# The interpreter of the distribution: what `sudo` finds, whatever the caller's PATH says.
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


@dataclass(frozen=True)
class Ping:
    """What came back of a ping."""

    sent: int
    received: int
    ttls: frozenset
    text: str

    @property
    def complete(self):
        """Every request has its answer."""
        return self.sent > 0 and self.received == self.sent


def ping(namespace, target, count=3, size=None, ttl=None, wait=3, dont_fragment=False):
    """Pings `target` with `count` requests at once; fails only when ping itself cannot run.

    Sent one by one, ping would give the last answer no longer than the one before it took; sent at
    once, each has `wait` seconds, and nothing is waited for when all are there.
    """
    argv = ["ping", "-n", "-c", count, "-l", count, "-i", wait, "-W", wait]
    if size is not None:
        argv += ["-s", size]
    if ttl is not None:
        argv += ["-t", ttl]
    if dont_fragment:
        argv += ["-M", "do"]
    text = namespace.run(*argv, target, check=False, timeout=2 * wait + 15).stdout
    return parse_ping(text)


def parse_ping(text):
    """Reads the output of iputils' ping."""
    total = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    if not total:
        raise CommandFailed(f"ping did not run: {text.strip()}")
    ttls = {int(ttl) for ttl in re.findall(r"bytes from .*\bttl=(\d+)", text)}
    return Ping(int(total[1]), int(total[2]), frozenset(ttls), text)


def wait_ping(namespace, target, timeout=20):
    """Waits until `target` answers: a network just made or mended needs a moment."""
    wait_for(
        f"{namespace.name} -> {target}: an echo reply",
        lambda: ping(namespace, target, count=1, wait=1).complete,
        timeout=timeout,
        every=0.2,
    )


def echo_hops(namespace, target):
    """Addresses of the hops towards `target`, asked by echo requests; `???` for a silent one."""
    # mtr, because Debian 12's `traceroute -I` misses about one echo reply in ten that a capture shows arriving.
    family = "-6" if ":" in target else "-4"
    done = namespace.run(
        "mtr", family, "--json", "-n", "-m", "8", "-c", "1", "-i", "0.2", "-G", "3", target, timeout=40
    )
    return parse_mtr(done.stdout)


def parse_mtr(text):
    """Reads mtr's JSON report."""
    return [hop["host"] for hop in json.loads(text)["report"]["hubs"]]


def udp_hops(namespace, target):
    """Addresses of the hops towards `target`, asked by UDP; `*` for a silent one."""
    family = "-6" if ":" in target else "-4"
    # One probe at a time: with many under way the tool at times misses answers that were on the wire.
    done = namespace.run(
        "traceroute", family, "-n", "-q", "1", "-N", "1", "-w", "3,0,0", "-m", "8", target, timeout=40
    )
    return parse_traceroute(done.stdout)


def parse_traceroute(text):
    """Reads the output of traceroute with one query a hop."""
    return re.findall(r"^ *\d+ +(\S+)", text, flags=re.MULTILINE)


def bracket(address):
    """An address as a URL wants it."""
    return f"[{address}]" if ":" in address else address


class HttpServer:
    """An HTTP server that says who it is."""

    def __init__(self, namespace, address="0.0.0.0", port=8000):
        root = namespace.lab.directory / f"www-{namespace.name}"
        root.mkdir(exist_ok=True)
        (root / "index.html").write_text(f"{namespace.name}\n")
        (root / "large").write_bytes(bytes(range(256)) * 4096)
        self.port = port
        self.process = namespace.start(
            PYTHON, "-m", "http.server", port, "--bind", address, "--directory", root
        )
        wait_listening(namespace, port)


def wait_listening(namespace, port, timeout=10):
    """Waits until somebody listens on the TCP port in the namespace."""
    wait_for(
        f"{namespace.name}: a listener on port {port}",
        lambda: namespace.run("ss", "-Hltn", f"sport = :{port}").stdout.strip(),
        timeout=timeout,
    )


def fetch(namespace, address, port=8000, path="", timeout=10):
    """Fetches a page by curl; returns its body."""
    url = f"http://{bracket(address)}:{port}/{path}"
    done = namespace.run("curl", "-sS", "-g", "--max-time", timeout, url, timeout=timeout + 5)
    return done.stdout.strip()


def fetch_size(namespace, address, port=8000, path="large", timeout=30):
    """Fetches a page by curl; returns how many bytes came."""
    url = f"http://{bracket(address)}:{port}/{path}"
    done = namespace.run(
        *("curl", "-sS", "-g", "-o", "/dev/null", "-w", "%{size_download}"),
        *("--max-time", timeout, url),
        timeout=timeout + 5,
    )
    return int(done.stdout)


SHARES = """
import collections, json, sys, urllib.request
url, count = sys.argv[1], int(sys.argv[2])
pages = (urllib.request.urlopen(url, timeout=10).read().decode().strip() for _ in range(count))
print(json.dumps(collections.Counter(pages)))
"""


def shares(namespace, address, count, port=8000):
    """Fetches a page so often, each time by a connection of its own; returns how often whose page it was."""
    url = f"http://{bracket(address)}:{port}/"
    done = namespace.run(PYTHON, "-c", SHARES, url, count, timeout=30 + count / 10)
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Transfer:
    """What iperf3 measured at the receiver."""

    mbit_per_second: float
    # Mbit/s of every second of the transfer, in order.
    seconds: tuple
    retransmits: int


def start_iperf_server(namespace, port=5201):
    """Starts an iperf3 server in the namespace and waits until it listens."""
    process = namespace.start("iperf3", "-s", "-p", port)
    wait_listening(namespace, port)
    return process


def iperf(namespace, target, seconds=5, port=5201, options=()):
    """A TCP transfer from the namespace to an iperf3 server."""
    done = namespace.run(
        *("iperf3", "-J", "-c", target, "-p", port, "-t", seconds, *options),
        check=False,
        timeout=seconds + 30,
    )
    return parse_iperf(done.stdout)


def parse_iperf(text):
    """Reads iperf3's JSON; fails with iperf3's own error."""
    report = json.loads(text)
    if "error" in report:
        raise CommandFailed(f"iperf3: {report['error']}")
    seconds = tuple(one["sum"]["bits_per_second"] / 1e6 for one in report["intervals"])
    end = report["end"]
    return Transfer(
        mbit_per_second=end["sum_received"]["bits_per_second"] / 1e6,
        seconds=seconds,
        retransmits=end["sum_sent"].get("retransmits", 0),
    )


@dataclass(frozen=True)
class Stream:
    """What arrived of a numbered UDP stream."""

    sent: int
    received: int
    missing: tuple
    duplicates: int
    reordered: int
    # Addresses the receiver saw the stream come from.
    sources: tuple
    # Longest time without a packet, in milliseconds.
    longest_gap_ms: float


class UdpStream:
    """A numbered UDP stream from one namespace to another."""

    def __init__(self, sender, receiver, address, seconds, rate=1000, port=7777):
        directory = sender.lab.directory
        self._got = directory / f"stream-{port}-received.json"
        self._sent = directory / f"stream-{port}-sent.json"
        for report in (self._got, self._sent):
            report.unlink(missing_ok=True)
        script = HERE / "udp_stream.py"
        self._receiver = receiver.start(PYTHON, script, "receive", port, self._got)
        wait_for(
            "the stream's receiver",
            lambda: receiver.run("ss", "-Hlun", f"sport = :{port}").stdout.strip(),
        )
        self._sender = sender.start(
            PYTHON, script, "send", address, port, rate, seconds, self._sent
        )
        self._limit = seconds + 20

    def result(self):
        """Waits for the end of the stream and compares what was sent with what arrived."""
        wait_for("the stream's sender", lambda: self._sender.poll() is not None, self._limit)
        wait_for("the stream's receiver", lambda: self._receiver.poll() is not None, 20)
        sent = json.loads(self._sent.read_text())
        got = json.loads(self._got.read_text())
        return Stream(sent=sent["sent"], **compare(sent["sent"], got))


def compare(sent, got):
    """What is missing of `sent` packets, numbered from 0, in a receiver's report."""
    numbers = got["numbers"]
    seen = set(numbers)
    highest, reordered = -1, 0
    for number in numbers:
        reordered += number < highest
        highest = max(highest, number)
    return {
        "received": len(seen),
        "missing": tuple(sorted(set(range(sent)) - seen)),
        "duplicates": len(numbers) - len(seen),
        "reordered": reordered,
        "sources": tuple(got["sources"]),
        "longest_gap_ms": got["longest_gap_ms"],
    }
