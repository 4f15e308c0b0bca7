"""A distributed floating IP in N0: its VM's host translates and answers, by its own wire; no gateway is needed."""

import pytest

import n0
import probes
from checks import expect, expect_page, expect_ping
from netns import wait_for

FLOATING, FLOATING_MAC = "10.20.0.110", "02:ac:10:ff:0f:10"


def with_rule(document):
    """N0 with a floating IP of vm1 that is carried out at hv1."""
    document["router"]["R1"]["nat"].append(
        {
            "type": "dnat_and_snat",
            "logical_ip": "192.168.1.10",
            "external_ip": FLOATING,
            "external_mac": FLOATING_MAC,
            "logical_port": "vm1",
        }
    )
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = n0.N0(lab, binaries, change=with_rule, wired=("hv1",))
    probes.HttpServer(made.vm("vm1"))
    return made


def test_by_the_wire_of_its_host(network):
    wires = {name: network.external(name) for name in ("gw1", "hv1")}
    expect_ping(network.outside, FLOATING, 63)
    expect_ping(network.vm("vm1"), n0.INTERNET, 62)
    expect_page(network.internet, "vm1", FLOATING)
    for wire in wires.values():
        wire.stop()
    sent = wires["hv1"].lines("ip")
    expect(sent, "nothing on the host's wire")
    for line in sent:
        expect(line.startswith(f"{FLOATING_MAC} > ") and FLOATING in line, f"not by it: {line}")
    expect(not wires["gw1"].lines(f"host {FLOATING}"), "the gateway takes part")
    known = network.outside.run("ip", "neigh", "show", FLOATING).stdout
    expect(FLOATING_MAC in known, f"not its MAC: {known}")


def test_from_inside(network):
    """By the gateway and the wire; the VM itself by its own."""
    for vm in ("vm2", "vm3", "vm4", "vm1"):
        expect_ping(network.vm(vm), FLOATING, 62)
        expect_page(network.vm(vm), "vm1", FLOATING)


def test_others_use_the_gateway(network):
    expect_ping(network.vm("vm3"), n0.INTERNET, 62)
    wire = network.external("hv1")
    expect_ping(network.vm("vm2"), n0.INTERNET, 62)
    wire.stop()
    expect(not wire.lines("icmp"), f"{wire.lines()}")


def test_it_is_shown_where_it_is(network):
    rows = network.nodes["hv1"].show("nat")
    row = next(row for row in rows if row["external_ip"] == FLOATING)
    expect(row["distributed"] == FLOATING_MAC and row["hits"] > 0, f"{row}")


def test_without_gateways(network):
    for name in n0.GATEWAYS:
        network.nodes[name].kill()
    wait_for(
        "the floating IP without gateways",
        lambda: probes.ping(network.outside, FLOATING, count=1, wait=1).complete,
        timeout=10,
    )
    expect_ping(network.vm("vm1"), n0.INTERNET, 62)
