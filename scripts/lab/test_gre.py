"""A tunnel of a protocol without ports through SNAT and a floating IP, of either family, with real Linux hosts at both ends."""

import pytest

import n1
import probes
from checks import expect, expect_ping
from netns import Lab, wait_for
from test_nat66 import INTERNET, ROUTER, SERVERS, WEB1, Nat66

FLOATING = "192.168.209.130"


def with_floating(document):
    """N1 with an address outside for a VM."""
    rule = {"type": "dnat_and_snat", "logical_ip": "172.18.100.20", "external_ip": FLOATING}
    document["router"]["gw1"]["nat"].append(rule)
    return document


@pytest.fixture(scope="module")
def ipv4(lab, binaries):
    return n1.N1(lab, binaries, change=with_floating)


@pytest.fixture(scope="module")
def ipv6(binaries):
    # Both networks have an "internet".
    with Lab() as own:
        yield Nat66(own, binaries)


def tunnel(namespace, device, remote, address):
    """An end of a tunnel."""
    namespace.start(probes.PYTHON, str(probes.HERE / "gre.py"), device, remote)
    wait_for(f"{namespace.name}: {device}", lambda: device in namespace.links())
    namespace.ip(f"address add {address} dev {device}")
    namespace.ip(f"link set {device} up mtu 1300")


def pings_pass_inside(gateway, ends, addresses, inside):
    """Ends are a VM and a host outside with what each calls the other; addresses those in the tunnel."""
    (vm, remote), (outside, called) = ends
    near, far = addresses
    tunnel(vm, f"t-{near[-1]}", remote, f"{near}/30")
    tunnel(outside, f"t-{near[-1]}", called, f"{far}/30")
    probes.wait_ping(vm, far)
    expect_ping(vm, far, 64)
    expect_ping(vm, far, 64, size=1200)
    expect_ping(outside, near, 64)
    rows = gateway.show("connections", "--proto", "gre", "--src", inside)
    expect(len(rows) == 1 and rows[0]["state"] == "replied", f"{rows}")
    expect(rows[0]["translation"] == "snat" and rows[0]["reply_dst"] == called, f"{rows}")


@pytest.mark.parametrize(
    "vm, inside, called, ends",
    [
        ("vm1", "172.18.100.10", n1.GATEWAY, ("10.99.0.1", "10.99.0.2")),
        ("vm2", "172.18.100.20", FLOATING, ("10.99.0.5", "10.99.0.6")),
    ],
    ids=["snat", "floating"],
)
def test_ipv4(ipv4, vm, inside, called, ends):
    places = ((ipv4.vm(vm), n1.OUTSIDE), (ipv4.outside, called))
    pings_pass_inside(ipv4.nodes["node1"], places, ends, inside)


@pytest.mark.parametrize(
    "vm, called, ends",
    [("web2", ROUTER, ("10.99.0.1", "10.99.0.2")), ("web1", WEB1, ("10.99.0.5", "10.99.0.6"))],
    ids=["snat", "floating"],
)
def test_ipv6(ipv6, vm, called, ends):
    places = ((ipv6.vm(vm), INTERNET), (ipv6.internet, called))
    pings_pass_inside(ipv6.node, places, ends, SERVERS[vm][1])
