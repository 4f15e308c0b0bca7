"""Floating IPs, stateless ones too, and destination NAT on a gateway router, in N1."""

import pytest

import n1
import probes
from capture import Capture
from checks import expect, expect_hops, expect_page, expect_ping

# vm2's, vm3's that nothing is remembered of, and one that vm4 is only reached by.
FLOATING, STATELESS, REACHED = "192.168.209.130", "192.168.209.132", "192.168.209.131"


def with_rules(document):
    """N1 with addresses outside for three VMs."""
    rows = (
        ("dnat_and_snat", "172.18.100.20", FLOATING),
        ("dnat_and_snat", "172.18.200.10", STATELESS),
        ("dnat", "172.18.200.20", REACHED),
    )
    for kind, inside, outside in rows:
        rule = {"type": kind, "logical_ip": inside, "external_ip": outside}
        if outside == STATELESS:
            rule["stateless"] = True
        document["router"]["gw1"]["nat"].append(rule)
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries, change=with_rules)


SERVED = (("vm2", FLOATING), ("vm3", STATELESS), ("vm4", REACHED))


@pytest.mark.parametrize("vm, address", SERVED)
def test_from_outside(network, vm, address):
    expect_ping(network.outside, address, 62)
    expect_page(network.outside, vm, address)
    expect_hops(network.outside, address, [n1.GATEWAY, "172.19.255.2", address])


@pytest.mark.parametrize("vm, address", SERVED)
def test_from_inside(network, vm, address):
    """By the gateway router both ways, since the source is translated too."""
    for client in ("vm1", "vm2"):
        expect_ping(network.vm(client), address, 61)
        expect_page(network.vm(client), vm, address)


@pytest.mark.parametrize("vm, source", [("vm2", FLOATING), ("vm3", STATELESS), ("vm4", n1.GATEWAY)])
def test_to_the_outside(network, vm, source):
    capture = Capture(network.outside, "eth0", "tcp port 8000", name=f"out-{vm}")
    expect_page(network.vm(vm), "outside", n1.OUTSIDE)
    capture.stop()
    opened = capture.lines(f"dst host {n1.OUTSIDE} and tcp[tcpflags] & tcp-syn != 0")
    expect(opened, "no connection seen on the external wire")
    for line in opened:
        expect(f"{source}." in line, f"not from {source}: {line}")


def test_what_is_too_large_is_said_through_the_translation(network):
    """A router outside with a small MTU: its error reaches the VM, which then sends less."""
    network.outside.ip("link set inet mtu 1300")
    network.internet.ip("link set eth0 mtu 1300")
    seen = probes.ping(network.vm("vm2"), n1.INTERNET, size=1400, dont_fragment=True)
    assert seen.received == 0 and "mtu = 1300" in seen.text, seen.text
    assert probes.parse_ping(
        network.vm("vm2").run("ping", "-n", "-c", 3, "-M", "dont", "-s", 1200, n1.INTERNET).stdout
    ).complete


@pytest.mark.parametrize("vm, address", SERVED)
def test_hops_asked_by_udp(network, vm, address):
    """The errors that hops and host send about a datagram name the addresses that its sender knows."""
    hops = [n1.GATEWAY, "172.19.255.2", address]
    expect_hops(network.outside, address, hops, probes.udp_hops)


@pytest.mark.parametrize(
    "source, target, address, seen_from",
    [
        ("vm1", "outside", n1.OUTSIDE, n1.GATEWAY),
        ("outside", "vm2", FLOATING, n1.OUTSIDE),
        ("outside", "vm4", REACHED, n1.OUTSIDE),
        ("outside", "vm3", STATELESS, n1.OUTSIDE),
    ],
)
def test_transfers(network, source, target, address, seen_from):
    """TCP either way, then a thousand numbered datagrams, of which none is lost or changes its source."""
    ends = {"outside": network.outside} | {name: network.vm(name) for name in network.vms}
    if target != "outside":
        probes.start_iperf_server(ends[target])
    for options in ((), ("-R",)):
        transfer = probes.iperf(ends[source], address, seconds=1, options=options)
        expect(transfer.mbit_per_second > 1, f"{transfer}")
    stream = probes.UdpStream(ends[source], ends[target], address, seconds=1).result()
    expect(not stream.missing and not stream.duplicates, f"{stream}")
    expect(stream.sources == (seen_from,), f"{stream.sources}")


def test_nothing_is_remembered_of_the_stateless_one(network):
    rows = network.nodes["node1"].show("connections", "--dst", STATELESS)
    own = [row for row in rows if row["src"].startswith(n1.OUTSIDE)]
    assert not own, own
