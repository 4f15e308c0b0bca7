"""A node is killed and started again: the network heals by itself."""

import time

import pytest

import n1
import probes
from checks import expect_no_ping, expect_page, expect_ping
from netns import wait_for

# A VM of a node, and one of another node.
AT, ELSEWHERE = {"node2": "vm1", "node3": "vm2"}, {"node2": "vm2", "node3": "vm1"}
HEALED_WITHIN = 8


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries)


def all_well(network):
    for check in n1.CHECKS[:10]:
        check.see(network)


def test_the_gateway_comes_back(network):
    gateway = network.nodes["node1"]
    gateway.kill()
    expect_no_ping(network.vm("vm1"), n1.INTERNET)
    # VMs do without the gateway among themselves.
    expect_ping(network.vm("vm1"), "172.18.200.10", 63)
    gateway.start()
    for vm in network.vms.values():
        probes.wait_ping(vm.namespace, n1.INTERNET, timeout=HEALED_WITHIN)
    expect_page(network.vm("vm2"), "outside", n1.OUTSIDE)
    all_well(network)


@pytest.mark.parametrize("name", AT)
def test_a_host_comes_back(network, name):
    node = network.nodes[name]
    node.kill()
    wait_for("the taps of a dead daemon gone", lambda: "eth0" not in network.vm(AT[name]).links())
    expect_ping(network.vm(ELSEWHERE[name]), n1.INTERNET, 61)
    node.start()
    for vm in network.vms.values():
        probes.wait_ping(vm.namespace, n1.INTERNET, timeout=HEALED_WITHIN)
    all_well(network)


def test_all_at_once(network):
    for node in network.nodes.values():
        node.kill()
    for node in network.nodes.values():
        node.start()
    probes.wait_ping(network.vm("vm1"), n1.INTERNET, timeout=HEALED_WITHIN)
    all_well(network)


def test_an_asked_end_is_clean(network):
    node = network.nodes["node3"]
    begin = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begin < 5
    assert not node.socket.exists()
    node.start()
    probes.wait_ping(network.vm("vm2"), n1.INTERNET, timeout=HEALED_WITHIN)


def test_idle_daemons_leave_the_processor_alone(network):
    """After a second without traffic: at most 5 % of a core for the worker, and little else."""

    def quiet(node):
        return node.cpu_share(1) < 0.08

    for node in network.nodes.values():
        # A stray ARP request of a kernel ends the silence for a second: there must be a silent one.
        wait_for(f"a second in which {node.name} is idle", lambda: quiet(node), timeout=30)
