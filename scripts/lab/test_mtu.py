"""An underlay of 1,500 bytes: what does not fit into a tunnel is said to the sender."""

import pytest

import n1
import probes
from checks import expect_page, expect_ping

# 1,500 less the headers of Geneve with OVN's option.
INNER = 1442


def narrow(document):
    """The node's file with an underlay of 1,500 bytes."""
    document["interface"]["eth0"]["mtu"] = 1500


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries, ipv6=True, node_change=narrow)


def test_the_sender_is_told(network):
    seen = probes.ping(network.vm("vm1"), "172.18.200.10", size=1472, dont_fragment=True)
    assert seen.received == 0
    assert "From 172.18.100.1" in seen.text
    assert f"mtu = {INNER}" in seen.text


def test_what_fits_passes(network):
    size = INNER - 28
    assert expect_ping(network.vm("vm4"), "172.18.100.20", 63, size=size, dont_fragment=True)


def test_what_may_be_cut_is_cut(network):
    seen = network.vm("vm2").run(
        *("ping", "-n", "-c", 3, "-l", 3, "-i", 3, "-M", "dont", "-s", 2500, "172.18.200.20"),
        check=False,
    )
    assert probes.parse_ping(seen.stdout).complete, seen.stdout


@pytest.mark.parametrize(
    "source, target, address",
    [("vm3", "vm1", "172.18.100.10"), ("vm3", "vm1", "fd18:100::10")],
)
def test_tcp_finds_its_size(network, source, target, address):
    expect_page(network.vm(source), target, address)


def test_tcp_from_outside_finds_its_size(network):
    expect_page(network.outside, "vm1", "172.18.100.10")
    expect_page(network.vm("vm2"), "outside", n1.OUTSIDE)


def test_ipv6_senders_are_told(network):
    seen = probes.ping(network.vm("vm4"), "fd18:100::20", size=1452, dont_fragment=True)
    assert seen.received == 0
    assert f"{INNER}" in seen.text and "too big" in seen.text.lower(), seen.text
