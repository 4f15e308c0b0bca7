"""Fragments through SNAT, floating IPs and balancers in N1, in order and backwards, both directions, with real Linux hosts."""

import json

import pytest

import n1
import probes
from netns import wait_for

FLOATING, REACHED = "192.168.209.130", "192.168.209.131"
# Servers that answer as the system does, and with the last fragment first.
FORWARDS, BACKWARDS = 9000, 9001
SIZE, COUNT = 8000, 10


def with_rules(document):
    """N1 with addresses outside for two VMs."""
    for kind, inside, outside in (
        ("dnat_and_snat", "172.18.100.20", FLOATING),
        ("dnat", "172.18.200.20", REACHED),
    ):
        rule = {"type": kind, "logical_ip": inside, "external_ip": outside}
        document["router"]["gw1"]["nat"].append(rule)
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    built = n1.N1(lab, binaries, ipv6=True, change=with_rules)
    tool = str(probes.HERE / "udp_pieces.py")
    for namespace in (built.outside, built.internet, *(vm.namespace for vm in built.vms.values())):
        namespace.start(probes.PYTHON, tool, "serve", FORWARDS)
        namespace.start(probes.PYTHON, tool, "serve", BACKWARDS, "backwards")
        for port in (FORWARDS, BACKWARDS):
            wait_for(
                f"{namespace.name}: a UDP server on {port}",
                lambda: f":{port} " in namespace.run("ss", "-lun").stdout,
            )
    return built


def place(network, name):
    """A namespace by its name."""
    return network.vm(name) if name in network.vms else getattr(network, name)


# Who asks whom: SNAT, another router's way, DNAT, the balancers of a router and of a switch, no translation.
WAYS = [
    ("vm1", n1.OUTSIDE),
    ("vm3", n1.INTERNET),
    ("outside", FLOATING),
    ("outside", REACHED),
    ("internet", n1.VIP),
    ("outside", n1.VIP),
    ("vm1", n1.VIP),
    ("vm3", n1.INNER_VIP),
    ("vm2", "172.18.200.20"),
    ("vm1", FLOATING),
]


@pytest.mark.parametrize("asked", [(), ("backwards",)], ids=["sent", "sent-backwards"])
@pytest.mark.parametrize("port", [FORWARDS, BACKWARDS], ids=["answered", "answered-backwards"])
@pytest.mark.parametrize("client, address", WAYS)
def test_udp(network, client, address, port, asked):
    tool = str(probes.HERE / "udp_pieces.py")
    words = ("ask", address, port, SIZE, COUNT, *asked)
    seen = json.loads(place(network, client).run(probes.PYTHON, tool, *words, timeout=40).stdout)
    assert seen["good"] == seen["sent"] == COUNT, (seen, network.nodes["node1"].show("drops"))


@pytest.mark.parametrize(
    "client, address",
    [
        ("vm1", n1.INTERNET),
        ("outside", FLOATING),
        ("outside", n1.VIP),
        ("vm1", "172.18.100.1"),
        ("vm1", n1.GATEWAY),
        ("outside", n1.GATEWAY),
        ("vm2", "172.18.200.20"),
        ("vm1", "fd18:100::1"),
        ("vm1", "fd20::120"),
        ("outside", "fd20::120"),
        ("vm2", "fd18:200::20"),
        ("vm1", n1.OUTSIDE6),
        ("outside", "fd18:100::10"),
    ],
)
def test_ping(network, client, address):
    seen = probes.ping(place(network, client), address, size=4000)
    assert seen.complete, (seen.text, network.nodes["node1"].show("drops"))


def test_what_is_under_way_is_shown(network):
    (row,) = network.nodes["node1"].show("fragments")
    assert row["fragments"] > 0 and row["waited"] > 0, row
    wait_for("no datagram is under way", lambda: under_way(network) == 0)
    assert "sluice_fragments_held{worker=\"0\"} 0" in network.nodes["node1"].ctl("metrics").stdout


def under_way(network):
    (row,) = network.nodes["node1"].show("fragments")
    return row["datagrams"] + row["held"]


def test_trace_says_where_ports_come_from(network):
    text = network.nodes["node1"].trace(
        *("--port", "outside-localnet", "--eth-src", "02:00:00:00:01:61"),
        *("--eth-dst", n1.GATEWAY_MAC, "--src", n1.OUTSIDE, "--dst", n1.VIP),
        *("--proto", "udp", "--dport", "53", "--fragment", "later"),
    )
    assert "the first fragment of its datagram tells for all" in text, text
    assert "destination port 53" in text, text
