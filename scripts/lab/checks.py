"""Checks of a running network: each has a name, ends with a remark, or fails with a reason."""

import sys
import time
from dataclasses import dataclass
from typing import Callable

import probes
from netns import CommandFailed


class Expected(AssertionError):
    """What was seen is not what was expected."""


@dataclass(frozen=True)
class Check:
    """One thing that must be seen; `see` takes the network and returns a remark."""

    name: str
    see: Callable

    def __str__(self):
        return self.name


def expect(condition, message):
    """Fails with `message` unless `condition` holds."""
    if not condition:
        raise Expected(message)


def expect_ping(namespace, target, ttl, count=3, **options):
    """Every request is answered, each answer with the given TTL."""
    seen = probes.ping(namespace, target, count=count, **options)
    expect(seen.complete, f"{seen.received} of {seen.sent} answered\n{seen.text}")
    expect(seen.ttls == {ttl}, f"TTL {sorted(seen.ttls)}, expected {ttl}\n{seen.text}")
    return f"{seen.received}/{seen.sent} answered, TTL {ttl}"


def expect_no_ping(namespace, target, count=2):
    """No request is answered."""
    seen = probes.ping(namespace, target, count=count, wait=1)
    expect(seen.received == 0, f"{seen.received} of {seen.sent} answered\n{seen.text}")
    return f"0/{seen.sent} answered, as it must be"


def expect_hops(namespace, target, hops, probe=probes.echo_hops):
    """Packets with a growing TTL are answered by exactly these hops."""
    seen = probe(namespace, target)
    expect(seen == list(hops), f"hops {seen}, expected {list(hops)}")
    return " > ".join(seen)


def expect_page(namespace, server_name, address, port=8000):
    """The page fetched from the address is the one of that server, and a megabyte follows."""
    body = probes.fetch(namespace, address, port)
    expect(body == server_name, f"the page says {body!r}, expected {server_name!r}")
    size = probes.fetch_size(namespace, address, port)
    expect(size == 1 << 20, f"{size} bytes of {1 << 20}")
    return f"page of {server_name}, then 1 MiB"


class Report:
    """Prints PASS and FAIL lines and counts them."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.passed = 0
        self.failed = 0
        self._colour = out.isatty()

    def paint(self, text, code):
        """The text in a colour when people look."""
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    def step(self, text):
        """A line of progress."""
        print(self.paint("==>", "1;34"), text, file=self.out, flush=True)

    def run(self, check, network):
        """Runs one check, prints how it went; returns whether it passed."""
        begin = time.monotonic()
        try:
            remark = check.see(network) or ""
        except (AssertionError, CommandFailed, KeyError, ValueError, OSError) as failure:
            self.failed += 1
            print(f"{self.paint('FAIL', '1;31')}  {check.name}", file=self.out)
            for line in str(failure).splitlines() or [repr(failure)]:
                print(f"      {line}", file=self.out)
            self.out.flush()
            return False
        self.passed += 1
        took = time.monotonic() - begin
        print(
            f"{self.paint('PASS', '1;32')}  {check.name:<52} {remark}  ({took:.1f} s)",
            file=self.out,
            flush=True,
        )
        return True

    def total(self):
        """The last line."""
        return f"{self.passed} passed, {self.failed} failed"
