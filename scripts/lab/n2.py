"""N2's routing half: a distributed gateway port with three chassis, no translation."""

import copy
import tomllib

import probes
import toml_text
from capture import Capture
from checks import Check, expect, expect_hops, expect_page, expect_ping
from node import CONFIGS, Node, Vm, taps_of

GATEWAY_MAC = "00:00:20:20:12:13"
GATEWAY = "172.168.0.200"
OUTSIDE, OUTSIDE6 = "172.168.0.10", "fd30::10"
NODES = ("gw1", "gw2", "gw3", "hv1")
# The one with the highest priority.
ACTIVE = "gw2"
# Logical port, MAC, IPv4, IPv4 router, IPv6, IPv6 router.
VMS = (
    ("sw0-port1", "00:00:01:00:00:03", "10.0.0.3", "10.0.0.1", "fd10::3", "fd10::1"),
    ("sw1-port1", "00:00:02:00:00:03", "20.0.0.3", "20.0.0.1", "fd20::3", "fd20::1"),
)
ROUTERS6 = {"10.0.0.1": "fd10::1/64", "20.0.0.1": "fd20::1/64", GATEWAY: "fd30::200/64"}


class N2:
    """The network, running, with an IPv6 address beside each IPv4 address."""

    def __init__(self, lab, binaries):
        self.lab = lab
        self.underlay = lab.wire("underlay")
        self.physical = lab.wire("physical", mtu=1500)
        document = with_ipv6(tomllib.loads((CONFIGS / "n2" / "topology.toml").read_text()))
        self.topology = lab.directory / "topology.toml"
        self.topology.write_text(toml_text.dumps(document))
        self.outside = lab.namespace("outside")
        self.physical.attach(self.outside, "eth0")
        self.outside.host(
            "eth0",
            addresses=[f"{OUTSIDE}/24", f"{OUTSIDE6}/64"],
            routes=[
                *((net, GATEWAY) for net in ("10.0.0.0/24", "20.0.0.0/24")),
                *((net, "fd30::200") for net in ("fd10::/64", "fd20::/64")),
            ],
            offload=False,
        )
        self.vms = {}
        for name, mac, address, router, address6, router6 in VMS:
            self.vms[name] = Vm(
                lab, name, mac, [f"{address}/24", f"{address6}/64"],
                [("default", router), ("default", router6)],
            )
        self.nodes, self.physical_ends = {}, {}
        for number, name in enumerate(NODES):
            self._add_node(number, name, binaries)
        for node in self.nodes.values():
            node.start()
        for vm in self.vms.values():
            probes.wait_ping(vm.namespace, OUTSIDE)
        for namespace in (self.outside, *(vm.namespace for vm in self.vms.values())):
            probes.HttpServer(namespace, "::")

    def _add_node(self, number, name, binaries):
        file = CONFIGS / "n2" / f"{name}.toml"
        node = Node(self.lab, name, binaries)
        self.underlay.attach(node.namespace, "eth0")
        if name != "hv1":
            self.physical_ends[name] = self.physical.attach(node.namespace, "eth1")
        node.configure(file, worker=number, topology=self.topology)
        for port, tap in taps_of(file).items():
            if port in self.vms:
                node.carries(self.vms[port], tap)
        self.nodes[name] = node

    def vm(self, name):
        """The namespace of the VM on a logical port."""
        return self.vms[name].namespace


def with_ipv6(document):
    """The topology with IPv6 addresses added."""
    document = copy.deepcopy(document)
    by_mac = {row[1]: row[4] for row in VMS}
    for switch in document["switch"].values():
        for port in switch["port"].values():
            words = [text.split() for text in port.get("addresses", [])]
            if words:
                port["addresses"] = [
                    " ".join([*word, *([by_mac[word[0]]] if word[0] in by_mac else [])])
                    for word in words
                ]
    for port in document["router"]["lr0"]["port"].values():
        address = port["networks"][0].partition("/")[0]
        port["networks"] = [*port["networks"], ROUTERS6[address]]
    return document


def _active_gateway(network):
    """The chassis with the highest priority carries the port, and no other one does."""
    wires = {
        name: Capture(network.physical.namespace, end, name=f"external-{name}", direction="in")
        for name, end in network.physical_ends.items()
    }
    expect_ping(network.vm("sw0-port1"), OUTSIDE, 63)
    for wire in wires.values():
        wire.stop()
    sent = wires[ACTIVE].lines(f"ether src {GATEWAY_MAC} and icmp[icmptype] == icmp-echo")
    expect(len(sent) == 3, f"{len(sent)} echo requests leave {ACTIVE}, expected 3")
    expect(all(f"10.0.0.3 > {OUTSIDE}" in line for line in sent), f"not as sent: {sent}")
    for name in network.physical_ends.keys() - {ACTIVE}:
        seen = wires[name].lines()
        expect(not seen, f"{name} sends: {seen}")
    return f"{ACTIVE}: {GATEWAY_MAC}, 10.0.0.3 > {OUTSIDE}; others silent"


_PORT0, _PORT1 = "sw0-port1", "sw1-port1"
CHECKS = (
    Check("only the gateway with the highest priority sends", _active_gateway),
    Check("sw0-port1 -> sw1-port1", lambda n: expect_ping(n.vm(_PORT0), "20.0.0.3", 63)),
    Check("sw0-port1 -> outside", lambda n: expect_ping(n.vm(_PORT0), OUTSIDE, 63)),
    Check("outside -> sw1-port1", lambda n: expect_ping(n.outside, "20.0.0.3", 63)),
    Check("outside -> gateway port", lambda n: expect_ping(n.outside, GATEWAY, 254)),
    Check("sw0-port1 -> gateway port", lambda n: expect_ping(n.vm(_PORT0), GATEWAY, 254)),
    Check("TCP sw0-port1 -> outside", lambda n: expect_page(n.vm(_PORT0), "outside", OUTSIDE)),
    Check("TCP outside -> sw1-port1", lambda n: expect_page(n.outside, _PORT1, "20.0.0.3")),
    Check("TCP sw1-port1 -> sw0-port1", lambda n: expect_page(n.vm(_PORT1), _PORT0, "10.0.0.3")),
    Check("traceroute sw0-port1 -> outside",
          lambda n: expect_hops(n.vm(_PORT0), OUTSIDE, ["10.0.0.1", OUTSIDE])),
    Check("traceroute outside -> sw1-port1",
          lambda n: expect_hops(n.outside, "20.0.0.3", [GATEWAY, "20.0.0.3"])),
    Check("IPv6 sw0-port1 -> sw1-port1", lambda n: expect_ping(n.vm(_PORT0), "fd20::3", 63)),
    Check("IPv6 sw0-port1 -> outside", lambda n: expect_ping(n.vm(_PORT0), OUTSIDE6, 63)),
    Check("IPv6 outside -> sw1-port1", lambda n: expect_ping(n.outside, "fd20::3", 63)),
    Check("IPv6 outside -> gateway port", lambda n: expect_ping(n.outside, "fd30::200", 254)),
    Check("IPv6 TCP sw1-port1 -> outside", lambda n: expect_page(n.vm(_PORT1), "outside", OUTSIDE6)),
    Check("IPv6 traceroute sw0-port1 -> outside",
          lambda n: expect_hops(n.vm(_PORT0), OUTSIDE6, ["fd10::1", OUTSIDE6])),
)
