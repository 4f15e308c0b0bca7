"""N0: two hosts, two gateways of one distributed gateway port; the first gateway is active."""

import tomllib

import probes
import toml_text
from capture import Capture
from checks import Check, expect, expect_hops, expect_page, expect_ping
from node import CONFIGS, Node, Vm, taps_of

INTERNET = "8.8.8.8"
ROUTER = "10.20.0.1"
SNAT = "10.20.0.100"
GATEWAY_MAC = "00:00:01:01:02:05"
VMS = (
    ("vm1", "02:ac:10:ff:00:01", "192.168.1.10", "192.168.1.1"),
    ("vm2", "02:ac:10:ff:00:02", "192.168.2.20", "192.168.2.1"),
    ("vm3", "02:ac:10:ff:00:03", "192.168.1.30", "192.168.1.1"),
    ("vm4", "02:ac:10:ff:00:04", "192.168.2.40", "192.168.2.1"),
)
HOSTS = ("hv1", "hv2")
GATEWAYS = ("gw1", "gw2")


class N0:
    """The network, running; `physical_ends` are the physical wire's ends at the gateways.

    `change` takes the topology of the example as a dictionary and returns another one. `wired` names hosts that are on
    the physical wire too.
    """

    def __init__(self, lab, binaries, change=None, wired=()):
        self.lab = lab
        topology = CONFIGS / "n0" / "topology.toml"
        if change:
            document = change(tomllib.loads(topology.read_text()))
            topology = lab.directory / "topology.toml"
            topology.write_text(toml_text.dumps(document))
        self.underlay = lab.wire("underlay")
        self.physical = lab.wire("physical", mtu=1500)
        self._build_outside()
        self.vms = {
            name: Vm(lab, name, mac, [f"{address}/24"], [("default", gateway)])
            for name, mac, address, gateway in VMS
        }
        self.nodes, self.physical_ends = {}, {}
        for number, name in enumerate((*GATEWAYS, *HOSTS)):
            file = CONFIGS / "n0" / f"{name}.toml"
            node = Node(lab, name, binaries)
            self.underlay.attach(node.namespace, "eth0")
            if name in (*GATEWAYS, *wired):
                self.physical_ends[name] = self.physical.attach(node.namespace, "eth1")
            node.configure(
                file, worker=number, topology=topology, change=on_the_wire if name in wired else None
            )
            for vm, tap in taps_of(file).items():
                node.carries(self.vms[vm], tap)
            self.nodes[name] = node
        for node in self.nodes.values():
            node.start()
        for vm in self.vms.values():
            probes.wait_ping(vm.namespace, INTERNET)

    def _build_outside(self):
        """The router 10.20.0.1, with 8.8.8.8 behind it; it knows nothing of the VMs' addresses."""
        self.outside = self.lab.namespace("outside")
        self.internet = self.lab.namespace("internet")
        self.physical.attach(self.outside, "eth0")
        self.lab.veth(self.outside, "inet", self.internet, "eth0")
        self.outside.sysctl("net.ipv4.ip_forward", 1)
        self.outside.host("eth0", addresses=[f"{ROUTER}/24"], offload=False)
        self.outside.ip("addr add 203.0.113.1/24 dev inet")
        self.internet.host(
            "eth0", addresses=["203.0.113.8/24"], routes=[("default", "203.0.113.1")], offload=False
        )
        self.internet.ip(f"addr add {INTERNET}/32 dev lo")
        self.outside.ip(f"route add {INTERNET} via 203.0.113.8")
        probes.HttpServer(self.internet)

    def vm(self, name):
        """The namespace of a VM."""
        return self.vms[name].namespace

    def external(self, gateway):
        """A capture of what the gateway sends to the physical network."""
        end = self.physical_ends[gateway]
        return Capture(self.physical.namespace, end, name=f"external-{gateway}", direction="in")


def on_the_wire(document):
    """The file of a host with a second card, on the physical network."""
    document["interface"]["eth1"] = {"device": "net_af_packet1,iface=eth1"}
    document["bridge_mappings"] = {"physnet": "eth1"}


def _active_gateway(network):
    """Packets leave by gw1 with the gateway port's MAC and address; gw2's wire is silent."""
    wires = {name: network.external(name) for name in GATEWAYS}
    for vm in network.vms.values():
        expect_ping(vm.namespace, INTERNET, 62)
    for wire in wires.values():
        wire.stop()
    requests = wires["gw1"].lines("icmp[icmptype] == icmp-echo")
    expect(len(requests) == 12, f"{len(requests)} echo requests on gw1's wire, expected 12")
    for line in requests:
        expect(line.startswith(f"{GATEWAY_MAC} > "), f"wrong source MAC: {line}")
        expect(f"{SNAT} > {INTERNET}" in line, f"wrong addresses: {line}")
    sent = wires["gw2"].lines()
    expect(not sent, f"gw2's wire is not silent: {sent}")
    return f"gw1: {GATEWAY_MAC}, {SNAT} > {INTERNET}; gw2 silent"


CHECKS = (
    Check("every VM -> 8.8.8.8; only gw1 sends", _active_gateway),
    Check("vm1 -> vm3 (one switch)", lambda n: expect_ping(n.vm("vm1"), "192.168.1.30", 64)),
    Check("vm1 -> vm4 (two switches)", lambda n: expect_ping(n.vm("vm1"), "192.168.2.40", 63)),
    Check("vm1 -> its router", lambda n: expect_ping(n.vm("vm1"), "192.168.1.1", 254)),
    Check("vm1 -> the gateway port", lambda n: expect_ping(n.vm("vm1"), SNAT, 254)),
    Check("outside -> the gateway port", lambda n: expect_ping(n.outside, SNAT, 254)),
    Check("vm4 -> 8.8.8.8 by TCP",
          lambda n: expect_page(n.vm("vm4"), "internet", INTERNET)),
    Check("traceroute vm1 -> 8.8.8.8",
          lambda n: expect_hops(n.vm("vm1"), INTERNET, ["192.168.1.1", ROUTER, INTERNET])),
)
