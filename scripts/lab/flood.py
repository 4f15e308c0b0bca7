"""How fast a transfer is beside strangers who open 100,000 connections a second: `[--binary-dir DIR] [--out DIR]`.

Two CPUs: the gateway's worker has one; iperf3, the strangers and what the kernel does for them share the other. So a transfer is
slower beside strangers whoever they send to, and what is judged is the transfer beside the attack against the one beside the same
strangers who send, at the same rate, into a wire at whose end nobody is. What a wire with the gateway at its end costs the
sender more than that one counts against the gateway, and so do the answers of the hosts behind it: a worker that sends by
af_packet does in its own time what the kernel does with the packet until the receiving host has it (`worker_system`). The
transfer alone is told too. Each round measures all of them, one after the other; medians of the rounds.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path

import gateway
import netns
import probes
from node import Binaries

# A second, and what a bar wants of the transfer's rate.
RATE, BAR = 100_000, 0.8
# The CPU of all but the worker.
ELSE = ("taskset", "-c", 0)
# What is measured goes before all else that runs here.
FIRST = -19
# Where strangers send.
PLACES = ("sink", "attack")
# Groups of bars: attacks.
GROUP = 10


def first(process):
    """Lets a process go before those of others. The kernel shares CPUs among sessions, whatever their processes' niceness."""
    group = Path(f"/proc/{process.pid}/autogroup")
    with contextlib.suppress(OSError):
        group.write_text(str(FIRST))
    os.setpriority(os.PRIO_PROCESS, process.pid, FIRST)
    return process


def transfer(network, seconds):
    """Mbit/s of a transfer by source NAT."""
    report = network.lab.directory / "transfer.json"
    report.unlink(missing_ok=True)
    words = ("iperf3", "-J", "-c", gateway.UPSTREAM, "-t", seconds)
    process = first(network.client.start(*ELSE, *words, log=report))
    netns.wait_for("a transfer", lambda: process.poll() is not None, timeout=seconds + 30)
    return probes.parse_iperf(report.read_text()).mbit_per_second


def beside(network, kind, seconds, sink):
    """A transfer beside strangers; they begin before it and go on after it."""
    strangers = network.flood(kind, RATE, seconds + 2, sink=sink, argv=ELSE, started=first)
    netns.wait_for("strangers", lambda: sent(network, kind, sink), timeout=20, every=0.05)
    before, begin = counts(network), time.monotonic()
    mbit = transfer(network, seconds)
    took, after = time.monotonic() - begin, counts(network)
    report = strangers()
    return {
        "mbit": mbit,
        "rate": report["sent"] / report["seconds"],
        "counts": {name: (after[name] - before[name]) / took for name in after},
    }


def counts(network):
    """Packets that came, that cards missed, and that the worker dropped."""
    cards = network.interfaces().values()
    return {
        "received": sum(card["rx_packets"] for card in cards),
        "missed": sum(card["rx_missed"] for card in cards),
        "dropped": sum(network.drops().values()),
        **cpu(network.node.process.pid),
    }


def cpu(pid):
    """Seconds of processor time of the daemon, its own and the kernel's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return {"worker_user": int(fields[11]) / ticks, "worker_system": int(fields[12]) / ticks}


def sent(network, kind, sink):
    """Whether they send already: making the packets takes a moment."""
    namespace = network.strangers[gateway.FLOODS[kind][0]]
    (link,) = json.loads(
        namespace.ip(f"-s -j link show {'sink0' if sink else 'eth0'}").stdout
    )
    before, network.seen = getattr(network, "seen", None), link["stats64"]["tx"]["packets"]
    return before is not None and network.seen - before > RATE / 100


def measure(network, rounds, seconds, say):
    """Rounds of all kinds: what was measured."""
    memory = network.memory()
    alone = []
    cells = {(kind, name): [] for kind in gateway.FLOODS for name in PLACES}
    for _ in range(rounds):
        alone.append(transfer(network, seconds))
        say(f"{'alone':14}{alone[-1]:6.0f} Mbit/s")
        for (kind, place), seen in cells.items():
            network.seen = None
            seen.append(beside(network, kind, seconds, sink=place == "sink"))
            counted = ", ".join(f"{name} {n:.4g}/s" for name, n in seen[-1]["counts"].items())
            say(f"{kind:5}{place:9}{seen[-1]['mbit']:6.0f} Mbit/s; {counted}")
    metrics = network.metrics()
    return {
        "alone": alone,
        "cells": {f"{kind} {place}": seen for (kind, place), seen in cells.items()},
        "grown_kb": network.memory() - memory,
        "connections": metrics["sluice_connections"],
        "capacity": metrics["sluice_connections_capacity"],
        "drops": network.drops(),
    }


def median(seen, kind, place):
    """Mbit/s in the middle of the rounds."""
    return statistics.median(cell["mbit"] for cell in seen["cells"][f"{kind} {place}"])


def bars(seen):
    """What is aimed at, as `sluice-perf report` reads it."""

    def bar(what, unit, aim, bar, measured):
        return {"group": GROUP, "what": what, "unit": unit, "aim": aim, "bar": bar,
                "measured": measured, "failed": False}  # fmt: skip

    rows = [
        bar(f"iperf3 beside a flood, {kind}", "x its rate", "AtLeast", BAR,
            median(seen, kind, "attack") / median(seen, kind, "sink"))
        for kind in gateway.FLOODS
    ]  # fmt: skip
    slowest = min(cell["rate"] for cells in seen["cells"].values() for cell in cells)
    rows.append(bar("slowest flood", "packets/s", "AtLeast", 0.99 * RATE, slowest))
    rows.append(bar("memory more after floods", "kB", "AtMost", 2048.0, float(seen["grown_kb"])))
    return rows


def table(seen):
    """What was measured, for people."""
    alone = statistics.median(seen["alone"])
    lines = [f"{'':14}{'Mbit/s':>8}{'of alone':>10}{'of sink':>10}", f"{'alone':14}{alone:8.0f}"]
    for kind in gateway.FLOODS:
        sink = median(seen, kind, "sink")
        for place in PLACES:
            mbit = median(seen, kind, place)
            judged = f"{mbit / sink:10.2f}" if place == "attack" else ""
            lines.append(f"{kind:5}{place:9}{mbit:8.0f}{mbit / alone:10.2f}{judged}")
    lines.append(f"connections {seen['connections']:.0f} of {seen['capacity']:.0f}")
    lines.append(f"memory {seen['grown_kb']:+} kB")
    lines += [f"dropped, {reason}: {count}" for reason, count in seen["drops"].items()]
    return "\n".join(lines)


def main():
    """Measures, prints, and writes a report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary-dir")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    given = parser.parse_args()
    binaries = Binaries(given.binary_dir)
    if binaries.missing():
        sys.exit(binaries.missing())
    with netns.Lab() as lab:
        network = gateway.Gateway(lab, binaries, worker=1)
        first(network.node.process)
        first(network.outside.start(*ELSE, "iperf3", "-s"))
        probes.wait_listening(network.outside, 5201)
        probes.HttpServer(network.server, port=80)
        say = lambda text: print(text, file=sys.stderr, flush=True)
        seen = measure(network, given.rounds, given.seconds, say)
    print(table(seen))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        report = {"bars": bars(seen), "results": seen}
        (given.out / "flood.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
