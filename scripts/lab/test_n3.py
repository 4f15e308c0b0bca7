"""N3 in its three pairings, over Geneve without port keys too, and the peers by themselves."""

import pytest

import n3
import netns
import probes
from checks import expect_page, expect_ping
from conftest import require
from node import Vm
from peers import OVS_PROGRAMS, KernelVxlan, OvsNode


@pytest.fixture(scope="module", params=n3.PEERS)
def network(request, binaries):
    if request.param.startswith("ovs"):
        missing = require(*OVS_PROGRAMS)
        if missing.args[0]:
            pytest.skip(missing.kwargs["reason"])
    with netns.Lab() as lab:
        yield n3.N3(lab, binaries, request.param)


@pytest.mark.parametrize("check", n3.CHECKS, ids=str)
def test_seen(network, check):
    check.see(network)


@require(*OVS_PROGRAMS)
def test_kernel_and_ovs_understand_each_other(lab):
    """The peers talk to each other: where they do not talk to us, it is not their fault."""
    wire = lab.wire("underlay")
    kernel = KernelVxlan(lab, "kernel", wire, f"{n3.NODE1}/24", n3.NODE2, n3.VNI)
    ovs = OvsNode(lab, "ovs", wire, f"{n3.NODE2}/24")
    ovs.add_bridge("br42")
    ovs.add_tunnel("br42", "vxlan", n3.NODE2, n3.NODE1, n3.VNI)
    one, two = (Vm(lab, name, mac, n3.addresses_of(address)) for name, address, mac in n3.VMS[:2])
    kernel.plug(one)
    ovs.plug(two, "br42")
    probes.wait_ping(one.namespace, n3.VMS[1][1])
    probes.HttpServer(two.namespace, "::")
    expect_ping(one.namespace, n3.VMS[1][1], 64)
    expect_page(one.namespace, "vm2", n3.VMS[1][1])
