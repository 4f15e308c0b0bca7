"""N3: one layer-2 network over plain VXLAN, VNI 42, between a Sluice node and a second node."""

import tomllib

import probes
import toml_text
from checks import Check, expect, expect_page, expect_ping
from node import CONFIGS, Node, Vm, taps_of
from peers import KernelVxlan, OvsNode

VNI = 42
NODE1, NODE2 = "172.16.3.1", "172.16.3.2"
# Name, address, MAC. The first two are on the first node.
VMS = (
    ("vm1", "192.168.0.11", "02:00:00:00:42:11"),
    ("vm2", "192.168.0.12", "02:00:00:00:42:12"),
    ("vm3", "192.168.0.13", "02:00:00:00:42:13"),
    ("vm4", "192.168.0.14", "02:00:00:00:42:14"),
)
# The last one is no part of N3: the same network over Geneve that carries no port keys.
PEERS = ("sluice", "kernel", "ovs", "ovs-geneve")


class N3:
    """The network, running; `peer` says what the second node is."""

    def __init__(self, lab, binaries, peer):
        self.lab = lab
        self.underlay = lab.wire("underlay")
        self.vms = {
            name: Vm(lab, name, mac, addresses_of(address)) for name, address, mac in VMS
        }
        files = ("node1.toml", "node2.toml") if peer == "sluice" else ("node1-peer.toml",)
        self.nodes = []
        topology = _over_geneve(lab) if peer == "ovs-geneve" else None
        for number, file in enumerate(files):
            self._add_node(number, CONFIGS / "n3" / file, binaries, topology)
        if peer == "kernel":
            self.peer = KernelVxlan(lab, "peer", self.underlay, f"{NODE2}/24", NODE1, VNI)
            for name in ("vm3", "vm4"):
                self.peer.plug(self.vms[name])
        elif peer.startswith("ovs"):
            self.peer = OvsNode(lab, "peer", self.underlay, f"{NODE2}/24")
            self.peer.add_bridge("br42")
            kind = "geneve" if topology else "vxlan"
            self.peer.add_tunnel("br42", kind, NODE2, NODE1, VNI)
            for name in ("vm3", "vm4"):
                self.peer.plug(self.vms[name], "br42")
        for node in self.nodes:
            node.start()
        probes.wait_ping(self.vm("vm1"), VMS[3][1])
        for vm in self.vms.values():
            probes.HttpServer(vm.namespace, "::")

    def _add_node(self, number, file, binaries, topology):
        node = Node(self.lab, f"node{number + 1}", binaries)
        self.underlay.attach(node.namespace, "eth0")
        node.configure(file, worker=number, topology=topology)
        for vm, tap in taps_of(file).items():
            node.carries(self.vms[vm], tap)
        self.nodes.append(node)

    def vm(self, name):
        """The namespace of a VM."""
        return self.vms[name].namespace


def _over_geneve(lab):
    """The topology of a foreign peer, over Geneve without port keys; returns its path."""
    document = tomllib.loads((CONFIGS / "n3" / "topology-peer.toml").read_text())
    for chassis in document["chassis"].values():
        chassis["encap"] |= {"type": "geneve", "port_keys": False}
    path = lab.directory / "topology-geneve.toml"
    path.write_text(toml_text.dumps(document))
    return path


def addresses_of(address):
    """The addresses of a VM, with their prefix lengths: IPv6 rides along on layer 2."""
    return [f"{address}/24", f"fd42::{address.rpartition('.')[2]}/64"]


def _pairs():
    for source, _, _ in VMS:
        for target, address, _ in VMS:
            if source != target:
                yield source, target, address


def _ping_all(network):
    """Every VM pings every other one; a network of layer 2 touches no TTL."""
    for source, _, address in _pairs():
        expect_ping(network.vm(source), address, 64, count=2)
    return "12 pairs, TTL 64"


def _fetch_all(network):
    for source, target, address in _pairs():
        expect_page(network.vm(source), target, address)
    return "12 pairs"


def _learned(network):
    """The first node knows every VM's MAC from what it saw."""
    text = str(network.nodes[0].show("fdb"))
    for name, _, mac in VMS:
        expect(mac in text, f"{name}'s MAC {mac} is not in the FDB: {text}")
    return f"{len(VMS)} MACs"


CHECKS = (
    Check("ping between any two VMs", _ping_all),
    Check("TCP between any two VMs", _fetch_all),
    Check("MACs are learned", _learned),
    Check("IPv6 ping vm1 -> vm3", lambda n: expect_ping(n.vm("vm1"), "fd42::13", 64)),
    Check("IPv6 TCP vm4 -> vm2", lambda n: expect_page(n.vm("vm4"), "vm2", "fd42::12")),
    Check("1,472 byte ping vm1 -> vm4",
          lambda n: expect_ping(n.vm("vm1"), VMS[3][1], 64, size=1472, dont_fragment=True)),
)
