"""Tunnel packets that nobody may send: dropped, each by its own name."""

import pytest

import n1
import probes
from netns import wait_for

STRANGER, NODE1, NODE3 = "192.168.209.200", "192.168.209.110", "192.168.209.112"
# A frame of router1 to gw1 with an IPv4 packet of an experimental protocol (253) and no payload.
INNER = "02ac10ffff0102ac10ffff020800450000140000400040fd19c1ac12640a08080808"
# Sends one datagram: address, port, source address, payload in hex.
SEND = """
import socket, sys
to, port, source, payload = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.bind((source, 0))
    out.sendto(bytes.fromhex(payload), (to, int(port)))
"""


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = n1.N1(lab, binaries)
    stranger = lab.namespace("stranger")
    made.underlay.attach(stranger, "eth0")
    stranger.host("eth0", addresses=[f"{STRANGER}/19"])
    stranger.ip(f"addr add {NODE3}/32 dev lo")
    mac = next(row["mac"] for row in made.nodes["node1"].show("interfaces") if row["name"] == "eth0")
    # Given, so that no ARP request goes out with the address of another node.
    stranger.ip(f"neigh replace {NODE1} lladdr {mac} dev eth0 nud permanent")
    made.stranger = stranger
    return made


def vni(network, switch):
    """The key of a switch as six hex digits."""
    rows = network.nodes["node1"].show("topology", "--switch", switch)
    return f"{rows[0]['key']:06x}"


def drops(network):
    """Dropped packets by reason, as node1 counts them."""
    return {row["reason"]: row["packets"] for row in network.nodes["node1"].show("drops")}


def geneve(head, key, options=""):
    """A Geneve packet in hex, with an inner frame."""
    return f"{head}6558{key}00{options}{INNER}"


OVN = "0102800100010002"


@pytest.mark.parametrize(
    "source, build, reason",
    [
        (STRANGER, lambda n: geneve("0240", vni(n, "ls3"), OVN), "tunnel-unknown-peer"),
        (NODE3, lambda n: geneve("0240", "fffff0", OVN), "tunnel-unknown-vni"),
        (NODE3, lambda n: geneve("0240", vni(n, "ls3"), "aaaa800100010002"), "tunnel-unknown-option"),
        (NODE3, lambda n: geneve("0000", vni(n, "ls3")), "tunnel-no-keys"),
        (NODE3, lambda n: geneve("0240", vni(n, "ls3"), "0102800100017ff3"), "tunnel-unknown-port"),
        (NODE3, lambda n: f"02400800{vni(n, 'ls3')}00{OVN}45000014", "tunnel-protocol"),
        (NODE3, lambda n: "0240655800", "tunnel-malformed"),
    ],
)
def test_dropped_by_name(network, source, build, reason):
    before = drops(network)
    for _ in range(3):
        network.stranger.run(
            probes.PYTHON, "-c", SEND, NODE1, 6081, source, build(network)
        )
    wait_for(f"3 drops by {reason}", lambda: drops(network).get(reason, 0) >= before.get(reason, 0) + 3)
    after = drops(network)
    moved = {
        name: after[name] - before.get(name, 0)
        for name in after
        if name.startswith("tunnel-") and after[name] != before.get(name, 0)
    }
    assert moved == {reason: 3}


def test_the_network_did_not_mind(network):
    for check in n1.CHECKS[:10]:
        check.see(network)
