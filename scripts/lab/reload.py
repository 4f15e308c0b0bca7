"""Reloading under load: valid changes that must not be felt, broken files that must be refused."""

import copy
import json
import os
import random
import signal
import time
from dataclasses import dataclass

import n1
import probes
import toml_text
from checks import expect
from netns import wait_for

NODES = n1.NODES
# Columns of `show interfaces` that count lost packets.
LOSSES = ("drop", "miss", "err", "no_buf", "nombuf")


def write(path, text):
    """Replaces a file at once, as a careful tool does: a reload sees the old one or the new one."""
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    os.replace(scratch, path)


def variant(document, number):
    """The topology with switches, VMs and routes added; another set for every number.

    What traffic uses stays as it is.
    """
    document = copy.deepcopy(document)
    rows = random.Random(number)
    router = document["router"]["router1"]
    for extra in range(rows.randint(1, 4)):
        name, subnet = f"extra{extra}", f"10.{number % 200}.{extra}"
        ports = {
            f"{name}-vm{vm}": {
                "addresses": [f"02:00:00:{number % 256:02x}:{extra:02x}:{vm:02x} {subnet}.{vm + 10}"],
                "chassis": rows.choice(NODES),
            }
            for vm in range(rows.randint(1, 20))
        }
        ports[f"{name}-router1"] = {"type": "router", "router_port": f"router1-{name}"}
        document["switch"][name] = {"port": ports}
        router["port"][f"router1-{name}"] = {"networks": [f"{subnet}.1/24"]}
    for extra in range(rows.randint(0, 50)):
        prefix = f"100.{number % 200}.{extra}.0/24"
        router["route"].append({"ip_prefix": prefix, "nexthop": "172.19.255.1"})
    # A VM of a used switch comes and goes too.
    document["switch"]["ls1"]["port"][f"guest{number % 3}"] = {
        "addresses": [f"02:00:00:00:99:{number % 3:02x} 172.18.100.{100 + number % 3}"],
        "chassis": "node3",
    }
    return document


def broken(text, number):
    """A topology file with one mistake; returns it and a word that the error must contain."""
    rows = random.Random(number)
    cut = rows.randrange(len(text) // 4, len(text) // 2)
    twin = f'\n[switch.ls1.port.twin{number}]\naddresses = ["02:ac:10:ff:00:10 172.18.100.77"]\n'
    kinds = [
        lambda: (text[:cut] + "\n[[[\n" + text[cut:], "topology.toml"),
        lambda: (text.replace("addresses =", f"adresses{number} =", 1), f"adresses{number}"),
        lambda: (text.replace('"router1-ls1"', f'"router1-ls{number}x"', 1), f"router1-ls{number}x"),
        lambda: (text.replace("172.18.100.10", f"172.18.100.{300 + number}", 1), str(300 + number)),
        lambda: (text.replace("172.18.100.1/24", f"172.18.100.1/{33 + number}", 1), str(33 + number)),
        lambda: (text.replace('type = "snat"', f'type = "snat{number}"', 1), f"snat{number}"),
        lambda: (text + twin, f"twin{number}"),
        lambda: (text + f'\n[switch.bad{number}.port.p]\nchassis = "hv{number}"\n', f"hv{number}"),
        lambda: (text + f"\n[switch.bad{number}]\nkey = {(1 << 24) + number}\n", "key"),
        lambda: (text.replace('nexthop = "172.19.255.1"', f'nexthop = "9.9.9.{number}"'), "9.9.9"),
    ]
    result, word = kinds[number % len(kinds)]()
    assert result != text, f"mistake {number % len(kinds)} does not fit the topology"
    return result, word


def reload_all(network, by_signal=False):
    """Puts a changed topology file into effect on every node."""
    if not by_signal:
        for node in network.nodes.values():
            node.ctl("reload")
        return
    before = {name: generation(node) for name, node in network.nodes.items()}
    for node in network.nodes.values():
        os.kill(node.process.pid, signal.SIGHUP)
    for name, node in network.nodes.items():
        wait_for(f"{name}: a new generation", lambda: generation(node) > before[name], every=0.02)


def generation(node):
    """Number of the configuration in effect."""
    rows = node.show("version")
    row = rows[0] if isinstance(rows, list) else rows
    return row["generation"]


def losses(network):
    """Counters of lost packets of every node's interfaces, those that are not zero."""
    found = {}
    for name, node in network.nodes.items():
        for row in node.show("interfaces"):
            for key, value in row.items():
                if any(word in key for word in LOSSES) and isinstance(value, int) and value:
                    found[f"{name}.{row.get('interface', row.get('name'))}.{key}"] = value
    return found


@dataclass(frozen=True)
class Outcome:
    """What the traffic felt."""

    reloads: int
    transfer: probes.Transfer
    stream: probes.Stream
    # New losses counted by drivers during the run, by node.interface.counter.
    losses: dict

    def __str__(self):
        lost = ", ".join(f"{key} {value}" for key, value in sorted(self.losses.items())) or "none"
        return (
            f"{self.reloads} reloads; TCP {self.transfer.mbit_per_second:.0f} Mbit/s, slowest second"
            f" {min(self.transfer.seconds):.0f}; UDP {self.stream.received} of {self.stream.sent},"
            f" longest gap {self.stream.longest_gap_ms} ms; driver losses: {lost}"
        )


def under_load(network, seconds, reloads):
    """Reloads `reloads` times during `seconds` of TCP through SNAT and a UDP stream."""
    before, began = losses(network), [generation(node) for node in network.nodes.values()]
    stream = probes.UdpStream(network.vm("vm2"), network.outside, n1.OUTSIDE, seconds)
    report = network.lab.directory / "iperf.json"
    report.unlink(missing_ok=True)
    # A window below the depth of the drivers' rings: what overruns a ring is not the reload.
    transfer = network.vm("vm1").start(
        *("iperf3", "-J", "-c", n1.OUTSIDE, "-t", seconds, "-w", "256K"), log=report
    )
    begin = time.monotonic()
    for number in range(reloads):
        due = begin + 1 + number * (seconds - 2) / reloads
        time.sleep(max(0.0, due - time.monotonic()))
        write(network.topology, toml_text.dumps(variant(network.document, number)))
        reload_all(network, by_signal=number % 10 == 9)
    in_time = time.monotonic() - begin
    for first, node in zip(began, network.nodes.values()):
        done = generation(node) - first
        expect(done == reloads, f"{node.name}: {done} of {reloads} reloads took effect")
    expect(in_time < seconds + 1, f"{reloads} reloads took {in_time:.0f} s")
    wait_for("the end of the transfer", lambda: transfer.poll() is not None, seconds + 30)
    after = losses(network)
    return Outcome(
        reloads=reloads,
        transfer=probes.parse_iperf(report.read_text()),
        stream=stream.result(),
        losses={key: value - before.get(key, 0) for key, value in after.items()
                if value != before.get(key, 0)},
    )  # fmt: skip


def expect_unfelt(outcome):
    """The stream arrived complete and the transfer never stopped."""
    expect(not outcome.stream.missing, f"{len(outcome.stream.missing)} lost; {outcome}")
    expect(outcome.stream.duplicates == 0, f"{outcome.stream.duplicates} duplicates; {outcome}")
    expect(outcome.stream.sources == (n1.GATEWAY,), f"came from {outcome.stream.sources}")
    expect(min(outcome.transfer.seconds) > 0, f"the transfer stood still; {outcome}")
    return str(outcome)


def refuse_broken(network, count):
    """Feeds broken files to every node: each prints its error, nothing changes."""
    good = toml_text.dumps(network.document)
    write(network.topology, good)
    reload_all(network)
    known = {name: _picture(node) for name, node in network.nodes.items()}
    try:
        for number in range(count):
            text, word = broken(good, number)
            write(network.topology, text)
            node = network.nodes[NODES[number % len(NODES)]]
            done = node.ctl("reload", check=False)
            said = done.stdout + done.stderr
            expect(done.returncode != 0, f"broken file {number} was accepted: {said}")
            expect(word in said, f"the error of file {number} does not say {word!r}:\n{said}")
            expect("topology.toml:" in said, f"the error of file {number} names no line:\n{said}")
        for name, node in network.nodes.items():
            expect(_picture(node) == known[name], f"{name} changed after a broken file")
            expect(node.alive(), f"{name} ended after a broken file")
    finally:
        write(network.topology, good)
    return f"{count} refused, each with its error; nothing changed"


def _picture(node):
    return generation(node), json.dumps(node.show("topology"), sort_keys=True)
