"""Floating IPs and destination NAT at a distributed gateway port, in N0."""

import pytest

import n0
import probes
from checks import expect, expect_hops, expect_page, expect_ping

# vm1 on hv1, vm4 on hv2; vm2 is only reached.
VM1, VM2, VM4 = "10.20.0.110", "10.20.0.120", "10.20.0.140"


def rule(kind, inside, outside):
    """A row of a router's nat."""
    return {"type": kind, "logical_ip": inside, "external_ip": outside}


def with_rules(document):
    """N0 with addresses outside for three VMs."""
    document["router"]["R1"]["nat"] += [
        rule("dnat_and_snat", "192.168.1.10", VM1),
        rule("dnat", "192.168.2.20", VM2),
        rule("dnat_and_snat", "192.168.2.40", VM4),
    ]
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    """N0, its VMs with pages."""
    made = n0.N0(lab, binaries, change=with_rules)
    for vm in made.vms.values():
        probes.HttpServer(vm.namespace)
    return made


def test_from_outside(network):
    for address, vm in ((VM1, "vm1"), (VM2, "vm2"), (VM4, "vm4")):
        expect_ping(network.outside, address, 63)
        expect_page(network.internet, vm, address)
    expect_hops(network.outside, VM1, [n0.SNAT, VM1])


def test_to_the_outside(network):
    for vm, address in (("vm1", VM1), ("vm2", n0.SNAT), ("vm3", n0.SNAT), ("vm4", VM4)):
        wire = network.external("gw1")
        expect_ping(network.vm(vm), n0.INTERNET, 62)
        wire.stop()
        requests = wire.lines("icmp[icmptype] == icmp-echo")
        expect(requests, f"no echo request of {vm} on gw1's wire")
        for line in requests:
            expect(line.startswith(f"{n0.GATEWAY_MAC} > "), f"wrong source MAC: {line}")
            expect(f"{address} > {n0.INTERNET}" in line, f"not from {address}: {line}")


@pytest.mark.parametrize("client", ["vm1", "vm2", "vm3", "vm4"])
def test_from_inside(network, client):
    """To all addresses outside, its own included; both ways through the gateway, so two steps each."""
    for address, vm in ((VM1, "vm1"), (VM2, "vm2"), (VM4, "vm4")):
        expect_ping(network.vm(client), address, 62)
        expect_page(network.vm(client), vm, address)


def test_the_standby_is_silent(network):
    wire = network.external("gw2")
    expect_ping(network.outside, VM1, 63)
    expect_ping(network.vm("vm3"), VM4, 62)
    wire.stop()
    expect(not wire.lines(), f"gw2's wire is not silent: {wire.lines()}")


def test_rules_are_shown(network):
    rows = {row["external_ip"]: row for row in network.nodes["gw1"].show("nat")}
    assert rows[VM1]["type"] == rows[VM4]["type"] == "dnat_and_snat"
    assert rows[VM2]["type"] == "dnat" and rows[VM2]["connections"] > 0
