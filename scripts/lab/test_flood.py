"""Strangers open connections by the ten thousand: who is connected stays so, memory is what it was, all is counted.

How fast it goes beside them is measured by `flood.py`.
"""

import pytest

import gateway
import probes
from checks import expect
from held import Held, serve
from netns import wait_for

# Fewer than the strangers of one flood.
ROOM = 16384
RATE, SECONDS = 40_000, 1
STREAMS = 20
PORT = 9000


def small(document):
    """A table that fills."""
    document["dataplane"] |= {"connections": ROOM, "connections_ipv6": 1024}


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = gateway.Gateway(lab, binaries, change=small)
    for host in (made.outside, made.server):
        probes.HttpServer(host, port=80)
        serve(host, PORT)
    made.held = {
        "source NAT": Held(made.client, gateway.UPSTREAM, PORT, STREAMS),
        "balancer": Held(made.outside, gateway.VIP, PORT, STREAMS),
        "floating IP": Held(made.outside, gateway.FLOATING, PORT, STREAMS),
    }
    return made


def came_and_went(metrics):
    """Packets that came to the worker, and those of which it is told where they went."""

    def total(*words):
        return sum(
            value for name, value in metrics.items() if all(word in name for word in words)
        )

    packets = "sluice_interface_packets_total"
    event = lambda name: total("sluice_worker_events_total", f'event="{name}"')
    came = total(packets, 'direction="rx"') + event("injected") + event("copy")
    went = total(packets, 'direction="tx"') + event("flood") + total("sluice_fragments_held{")
    return came, went + total("sluice_drops_total") + total("sluice_punts_total")


def quiet(network):
    """Waits until no more packets are under way; returns the metrics."""
    seen = [network.metrics()]

    def still():
        seen.append(network.metrics())
        return all(
            seen[-1][name] == value
            for name, value in seen[-2].items()
            if name.startswith("sluice_interface_packets_total")
        )

    wait_for("an end of what the flood left", still, timeout=20, every=0.3)
    return seen[-1]


# Why strangers' packets, and answers to them, may be dropped.
REASONS = {"connections-full", "tcp-no-syn"}


@pytest.mark.parametrize("kind", gateway.FLOODS)
def test_flood(network, kind):
    card = {"inside": "lan0", "outside": "wan0"}[gateway.FLOODS[kind][0]]
    before, memory, drops = network.interfaces()[card], network.memory(), network.drops()
    sent = network.flood(kind, RATE, SECONDS)()["sent"]
    # While the last of them are still under way.
    expect(probes.fetch(network.outside, gateway.FLOATING, port=80) == "server", "no page")
    metrics = quiet(network)
    after = network.interfaces()[card]
    arrived = sum(after[key] - before[key] for key in ("rx_packets", "rx_missed"))
    expect(sent == RATE * SECONDS and arrived >= sent, f"{arrived} arrived of {sent}")
    came, went = came_and_went(metrics)
    expect(came == went, f"{came} packets came, {went} are accounted for")
    moved = {reason: n - drops.get(reason, 0) for reason, n in network.drops().items()}
    named = {reason for reason, n in moved.items() if n}
    expect(named <= REASONS, f"{moved}")
    expect(metrics["sluice_connections"] <= ROOM, f"{metrics['sluice_connections']} connections")
    grown = network.memory() - memory
    expect(grown < 2048, f"{grown} kB more than before")
    alive = {name: held.alive() for name, held in network.held.items()}
    expect(alive == dict.fromkeys(network.held, STREAMS), f"{alive}; {moved}")


def test_the_table_was_full(network):
    """Or the floods would have shown nothing; and it serves new clients."""
    metrics = network.metrics()
    expect(metrics["sluice_connections"] > 0.9 * ROOM, f"{metrics['sluice_connections']}")
    for host, address in (
        (network.outside, gateway.VIP),
        (network.outside, gateway.FLOATING),
        (network.client, gateway.UPSTREAM),
    ):
        expect(probes.fetch_size(host, address, port=80) == 1 << 20, "not the whole page")


def test_a_limit_of_one_source(network):
    """A scanner gets its share; the others do not notice."""
    text = network.node.config.read_text()
    network.node.config.write_text(text + "\n[connections]\nper_source = 500\n")
    network.node.ctl("reload")
    before = network.drops()
    sent = network.flood("scan", 5000, 1)()["sent"]
    # The table is full of the floods before: who comes when nobody may make room is refused for that, whoever he is.
    drops = network.drops()
    expect(drops["source-limit"] > before.get("source-limit", 0), f"{drops}")
    reasons = ("source-limit", "connections-full")
    refused = sum(drops.get(reason, 0) - before.get(reason, 0) for reason in reasons)
    # Those of his that have ended make room in a full table, for his own too: then there are more than 500 in all.
    expect(sent / 2 < refused <= sent - 450, f"{refused} of {sent} refused")
    expect(probes.fetch(network.outside, gateway.VIP, port=80) == "server", "no page")
    alive = {name: held.alive() for name, held in network.held.items()}
    expect(alive == dict.fromkeys(network.held, STREAMS), f"{alive}")
