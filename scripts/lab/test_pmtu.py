"""Path MTU discovery through NAT and tunnels: hops of 1,400 bytes inside, narrower ones outside, of either family."""

import re

import pytest

import n1
import probes
from checks import expect, expect_page

# Tunnels that carry 1,400 bytes: Geneve with OVN's option takes 58.
HOP, UNDERLAY = 1400, 1458
# Between the outside host and the internet.
OUTER = 1320
FLOATING, FLOATING6 = "192.168.209.130", "fd20::130"
INTERNET6 = "fd21::8"


def with_rules(document):
    """N1 with NAT of both families: a floating IP of vm2, all others by the gateway's address."""
    gw1 = document["router"]["gw1"]
    gw1["nat"] += [
        {"type": "dnat_and_snat", "logical_ip": "172.18.100.20", "external_ip": FLOATING},
        {"type": "snat", "logical_ip": "fd18::/16", "external_ip": "fd20::120"},
        {"type": "dnat_and_snat", "logical_ip": "fd18:100::20", "external_ip": FLOATING6},
    ]
    gw1["route"].append({"ip_prefix": "::/0", "nexthop": n1.OUTSIDE6})
    return document


def narrow(document):
    """The node's file with an underlay that makes the hop."""
    document["interface"]["eth0"]["mtu"] = UNDERLAY


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = n1.N1(lab, binaries, ipv6=True, change=with_rules, node_change=narrow)
    made.internet.host("eth0", addresses=[f"{INTERNET6}/64"], offload=False)
    made.outside.sysctl("net.ipv6.conf.all.forwarding", 1)
    made.outside.sysctl("net.ipv6.conf.inet.disable_ipv6", 0)
    made.outside.ip("addr add fd21::1/64 dev inet nodad")
    # Going down and up for its new address, the card lost what it had.
    made.internet.ip("addr replace 203.0.113.8/24 dev eth0")
    made.internet.ip("route replace default via 203.0.113.1")
    made.internet.ip("route replace default via fd21::1")
    probes.HttpServer(made.internet, "::")
    probes.wait_ping(made.vm("vm1"), INTERNET6)
    return made


def place(network, name):
    """A namespace by its name."""
    return network.vm(name) if name in network.vms else getattr(network, name)


def forget(network):
    """Lets all hosts forget what sizes fit."""
    for host in (network.outside, network.internet, *(vm.namespace for vm in network.vms.values())):
        for family in ("-4", "-6"):
            host.ip(f"{family} route flush cache")


def told(network, source, target, size, mtu):
    """A packet that may not be cut is too large: its sender hears what fits."""
    forget(network)
    headers = 48 if ":" in target else 28
    # One is enough: routers do not tell everybody all the time.
    large = probes.ping(
        place(network, source), target, count=1, size=size - headers, dont_fragment=True
    )
    said = re.search(r"mtu ?= ?(\d+)", large.text)
    expect(large.received == 0 and said and int(said[1]) == mtu, large.text)
    forget(network)
    fits = probes.ping(place(network, source), target, size=mtu - headers, dont_fragment=True)
    expect(fits.complete, fits.text)


WAYS = [
    ("vm1", n1.INTERNET),
    ("vm1", n1.OUTSIDE),
    ("vm2", n1.INTERNET),
    ("outside", FLOATING),
    ("internet", FLOATING),
    ("outside", n1.VIP),
    ("vm3", FLOATING),
    ("vm1", INTERNET6),
    ("vm1", n1.OUTSIDE6),
    ("vm2", INTERNET6),
    ("outside", FLOATING6),
    ("internet", FLOATING6),
]


@pytest.mark.parametrize("source, target", WAYS)
def test_the_sender_is_told(network, source, target):
    told(network, source, target, 1500, HOP)


# Who asks, what it asks, whose page it is.
PAGES = [
    ("vm1", n1.INTERNET, "internet"),
    ("vm2", n1.OUTSIDE, "outside"),
    ("outside", FLOATING, "vm2"),
    ("internet", FLOATING, "vm2"),
    ("vm3", FLOATING, "vm2"),
    ("vm1", INTERNET6, "internet"),
    ("vm2", n1.OUTSIDE6, "outside"),
    ("outside", FLOATING6, "vm2"),
    ("internet", FLOATING6, "vm2"),
]


def page(network, client, address, server):
    """A large page comes whole though nobody knows yet what fits."""
    forget(network)
    expect_page(place(network, client), server, address)


@pytest.mark.parametrize("client, address, server", PAGES)
def test_tcp_finds_its_size(network, client, address, server):
    page(network, client, address, server)


def test_a_narrower_hop_outside(network):
    """Its errors go through the translation to whom they concern."""
    hop = f"mtu lock {OUTER}"
    network.outside.ip(f"route replace {n1.INTERNET} via 203.0.113.8 {hop}")
    network.outside.ip(f"-6 route replace {INTERNET6} dev inet {hop}")
    for source, target in (
        ("vm1", n1.INTERNET),
        ("vm2", n1.INTERNET),
        ("vm1", INTERNET6),
        ("vm2", INTERNET6),
    ):
        told(network, source, target, 1380, OUTER)
    for client, address, server in PAGES:
        page(network, client, address, server)
