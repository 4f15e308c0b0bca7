"""N1: three nodes, a gateway router with SNAT and a balancer, another at a switch, VMs on taps, a plain Linux host outside.

The underlay and the physical network use the same prefix, as in the reference network; they are
two separate wires.
"""

import copy
import tomllib

import probes
import toml_text
from checks import Check, expect, expect_hops, expect_page, expect_ping
from capture import Capture
from netns import CommandFailed
from node import CONFIGS, Node, Vm, taps_of

OUTSIDE = "192.168.209.161"
GATEWAY = "192.168.209.120"
INTERNET = "8.8.8.8"
VIP = "192.168.209.55"
INNER_VIP = "192.168.2.2"
GATEWAY_MAC = "02:0a:7f:18:01:02"

PICTURE = """
     vm1 172.18.100.10     vm4 172.18.200.20          vm2 172.18.100.20     vm3 172.18.200.10
             \\                 /                              \\                 /
           [ node2  192.168.209.111 ]                      [ node3  192.168.209.112 ]
                        \\                                        /
                         +-------- underlay, Geneve ------------+
                                           |
                              [ node1  192.168.209.110 ]   gateway
                                           |
      ls1 172.18.100.0/24 --- router1 --- ls3 --- gw1 --- outside 192.168.209.120/19
      ls2 172.18.200.0/24 ---/   .2  172.19.255.0/24  .1    SNAT 172.18.0.0/16 -> .120
                                                                  .55 for vm1, vm3
                                           |
                                  physical network
                                           |
                         outside host 192.168.209.161 --- internet 8.8.8.8
"""

# Name, node, MAC, IPv4 address, IPv4 gateway, IPv6 address, IPv6 gateway.
VMS = (
    ("vm1", "node2", "02:ac:10:ff:00:10", "172.18.100.10", "172.18.100.1", "fd18:100::10"),
    ("vm2", "node3", "02:ac:10:ff:00:20", "172.18.100.20", "172.18.100.1", "fd18:100::20"),
    ("vm3", "node3", "02:ac:10:ff:10:10", "172.18.200.10", "172.18.200.1", "fd18:200::10"),
    ("vm4", "node2", "02:ac:10:ff:10:20", "172.18.200.20", "172.18.200.1", "fd18:200::20"),
)
NODES = ("node1", "node2", "node3")
# IPv6 addresses that the IPv6 variant adds to the router ports of the example.
ROUTERS6 = {
    "172.18.100.1": "fd18:100::1/64",
    "172.18.200.1": "fd18:200::1/64",
    "172.19.255.2": "fd19:255::2/64",
    "172.19.255.1": "fd19:255::1/64",
    GATEWAY: "fd20::120/64",
}
OUTSIDE6 = "fd20::161"


class N1:
    """The network, running.

    `change` takes the topology of the example as a dictionary and returns another one;
    `node_change` edits the dictionary of each node's file.
    """

    def __init__(
        self, lab, binaries, ipv6=False, change=None, node_change=None, progress=lambda text: None
    ):
        self.lab = lab
        self.ipv6 = ipv6
        self.underlay = lab.wire("underlay")
        self.physical = lab.wire("physical", mtu=1500)
        self.topology = CONFIGS / "n1" / "topology.toml"
        if ipv6 or change:
            self.document = tomllib.loads(self.topology.read_text())
            for step in (with_ipv6 if ipv6 else None, change):
                self.document = step(self.document) if step else self.document
            self.topology = lab.directory / "topology.toml"
            self.topology.write_text(toml_text.dumps(self.document))
        progress("wires, the outside host and the internet")
        self._build_outside()
        self.nodes = {name: Node(lab, name, binaries) for name in NODES}
        self.vms = {}
        self.ends = {}
        for number, (name, node) in enumerate(self.nodes.items()):
            self.ends[name] = self.underlay.attach(node.namespace, "eth0")
            if name == "node1":
                self.ends["outside"] = self.physical.attach(node.namespace, "eth1")
            file = CONFIGS / "n1" / f"{name}.toml"
            node.configure(file, worker=number, topology=self.topology, change=node_change)
        for row in VMS:
            self._build_vm(*row)
        for name, node in self.nodes.items():
            progress(f"sluiced of {name}")
            node.start()
        progress("first packets")
        for vm in self.vms.values():
            probes.wait_ping(vm.namespace, OUTSIDE)
        self._servers()

    def _build_outside(self):
        self.outside = self.lab.namespace("outside")
        self.internet = self.lab.namespace("internet")
        self.physical.attach(self.outside, "eth0")
        self.lab.veth(self.outside, "inet", self.internet, "eth0")
        self.outside.sysctl("net.ipv4.ip_forward", 1)
        addresses = [f"{OUTSIDE}/19"] + ([f"{OUTSIDE6}/64"] if self.ipv6 else [])
        routes = [("172.18.0.0/16", GATEWAY)]
        if self.ipv6:
            routes.append(("fd18::/16", "fd20::120"))
        self.outside.host("eth0", addresses=addresses, routes=routes, offload=False)
        self.outside.ip("addr add 203.0.113.1/24 dev inet")
        self.internet.host(
            "eth0", addresses=["203.0.113.8/24"], routes=[("default", "203.0.113.1")], offload=False
        )
        self.internet.ip(f"addr add {INTERNET}/32 dev lo")
        self.outside.ip(f"route add {INTERNET} via 203.0.113.8")

    def _build_vm(self, name, node, mac, address, gateway, address6):
        addresses, routes = [f"{address}/24"], [("default", gateway)]
        if self.ipv6:
            addresses.append(f"{address6}/64")
            routes.append(("default", address6.rpartition("::")[0] + "::1"))
        vm = Vm(self.lab, name, mac, addresses, routes)
        self.vms[name] = vm
        tap = taps_of(CONFIGS / "n1" / f"{node}.toml")[name]
        self.nodes[node].carries(vm, tap)

    def _servers(self):
        bind = "::" if self.ipv6 else "0.0.0.0"
        for namespace in (self.outside, *(vm.namespace for vm in self.vms.values())):
            probes.HttpServer(namespace, bind)
        probes.start_iperf_server(self.outside)

    def vm(self, name):
        """The namespace of a VM."""
        return self.vms[name].namespace


def with_ipv6(document):
    """The topology with an IPv6 address beside each IPv4 address, and IPv6 routes."""
    document = copy.deepcopy(document)
    by_mac = {row[2]: row[5] for row in VMS}
    for switch in document["switch"].values():
        for port in switch["port"].values():
            for key in ("addresses", "port_security"):
                if key in port:
                    port[key] = [_beside(text, by_mac) for text in port[key]]
    for router in document["router"].values():
        for port in router["port"].values():
            port["networks"] = port["networks"] + [
                ROUTERS6[network.partition("/")[0]] for network in port["networks"]
            ]
    document["router"]["gw1"]["route"].append(
        {"ip_prefix": "fd18::/16", "nexthop": "fd19:255::2"}
    )
    document["router"]["router1"]["route"].append({"ip_prefix": "::/0", "nexthop": "fd19:255::1"})
    return document


def _beside(text, by_mac):
    mac, _, rest = text.partition(" ")
    return f"{mac} {rest} {by_mac[mac]}" if mac in by_mac and rest else text


def _external_wire(network):
    """On the physical network a VM's packet has the gateway's MAC and address, nothing of its own."""
    capture = Capture(network.outside, "eth0", "icmp", name="external")
    expect_ping(network.vm("vm1"), INTERNET, 61)
    capture.stop()
    requests = [line for line in capture.lines() if "echo request" in line]
    expect(requests, "no echo request on the external wire")
    for line in requests:
        expect(line.startswith(f"{GATEWAY_MAC} > "), f"wrong source MAC: {line}")
        expect(f"{GATEWAY} > {INTERNET}" in line, f"wrong addresses: {line}")
    expect(not capture.lines("net 172.18.0.0/16"), "a VM's own address is on the external wire")
    return f"{GATEWAY_MAC}, {GATEWAY} > {INTERNET}"


def _snat_source(network):
    """A TCP connection of a VM reaches the outside from the gateway's address."""
    capture = Capture(network.outside, "eth0", "tcp port 8000", name="snat-tcp")
    remark = expect_page(network.vm("vm2"), "outside", OUTSIDE)
    capture.stop()
    opened = capture.lines(f"dst host {OUTSIDE} and tcp[tcpflags] & tcp-syn != 0")
    expect(opened, "no connection seen on the external wire")
    for line in opened:
        expect(f"{GATEWAY}." in line, f"not translated: {line}")
    return remark


def _direct(network):
    """A connection opened from outside to a VM is not translated, in either direction."""
    capture = Capture(network.outside, "eth0", "tcp port 8000", name="direct-tcp")
    remark = expect_page(network.outside, "vm1", "172.18.100.10")
    capture.stop()
    expect(not capture.lines(f"host {GATEWAY}"), "the reply was translated")
    expect(capture.lines("src host 172.18.100.10"), "no reply from the VM's own address")
    return remark


def _shared(client, address, servers, count=40, within=0.6):
    """Connections to an address reach all these servers, each its share but for some part of it."""

    def see(network):
        namespace = network.outside if client == "outside" else network.vm(client)
        seen = probes.shares(namespace, address, count)
        expect(set(seen) == set(servers), f"{seen}, expected {servers}")
        due = count / len(servers)
        for server, times in seen.items():
            expect(abs(times - due) <= within * due, f"{server} has {times} of {count}: {seen}")
        return ", ".join(f"{server} {times}" for server, times in sorted(seen.items()))

    return see


def _itself(network):
    """A VM that is a backend too reaches all backends by the address, itself included."""
    remark = _shared("vm1", VIP, ("vm1", "vm3"))(network)
    rows = network.nodes["node1"].show("connections", "--src", "172.18.100.10", "--proto", "tcp")
    own = [row for row in rows if row["reply_src"].startswith("172.18.100.10:")]
    expect(own, f"no connection of vm1 to itself: {rows}")
    expect({row["translation"] for row in own} == {"snat+dnat"}, f"not both translated: {own}")
    return remark


def _whole_page(network):
    """More than a packet of it: a megabyte through the balancer."""
    size = probes.fetch_size(network.outside, VIP)
    expect(size == 1 << 20, f"{size} bytes of {1 << 20}")
    return "1 MiB"


def _not_for_others(network):
    """The balancer of ls2 is for what VMs of ls2 send."""
    try:
        page = probes.fetch(network.vm("vm1"), INNER_VIP, timeout=3)
    except CommandFailed:
        return "no answer, as it must be"
    raise AssertionError(f"a VM of ls1 got a page: {page!r}")


def _counted(network):
    """The operator sees who got how many."""
    rows = network.nodes["node1"].show("lb")
    expect({row["backend"] for row in rows} == {"172.18.100.10", "172.18.200.10"}, f"{rows}")
    expect(all(row["hits"] > 100 for row in rows), f"{rows}")
    return ", ".join(f"{row['backend']} {row['hits']}" for row in rows)


CHECKS = (
    Check("vm3 -> vm1 (two switches, one router)",
          lambda n: expect_ping(n.vm("vm3"), "172.18.100.10", 63)),
    Check("vm2 -> vm4 (the other way round)",
          lambda n: expect_ping(n.vm("vm2"), "172.18.200.20", 63)),
    Check("vm1 -> vm2 (one switch, two nodes)",
          lambda n: expect_ping(n.vm("vm1"), "172.18.100.20", 64)),
    Check("vm1 -> its router",
          lambda n: expect_ping(n.vm("vm1"), "172.18.100.1", 254)),
    Check("vm1 -> gateway 192.168.209.120",
          lambda n: expect_ping(n.vm("vm1"), GATEWAY, 253)),
    Check("outside -> gateway 192.168.209.120",
          lambda n: expect_ping(n.outside, GATEWAY, 254)),
    Check("outside -> vm1, without translation",
          lambda n: expect_ping(n.outside, "172.18.100.10", 62)),
    Check("vm1 -> outside, SNAT",
          lambda n: expect_ping(n.vm("vm1"), OUTSIDE, 62)),
    Check("vm1 -> 8.8.8.8, SNAT",
          lambda n: expect_ping(n.vm("vm1"), INTERNET, 61)),
    Check("every VM -> 8.8.8.8",
          lambda n: [expect_ping(vm.namespace, INTERNET, 61) for vm in n.vms.values()][-1]),
    Check("MAC and address on the external wire", _external_wire),
    Check("vm2 -> outside by TCP, SNAT", _snat_source),
    Check("outside -> vm1 by TCP, without translation", _direct),
    Check("vm3 -> vm1 by TCP",
          lambda n: expect_page(n.vm("vm3"), "vm1", "172.18.100.10")),
    Check("traceroute vm1 -> 8.8.8.8",
          lambda n: expect_hops(n.vm("vm1"), INTERNET,
                                ["172.18.100.1", "172.19.255.1", OUTSIDE, INTERNET])),
    Check("traceroute vm1 -> 8.8.8.8 by UDP",
          lambda n: expect_hops(n.vm("vm1"), INTERNET,
                                ["172.18.100.1", "172.19.255.1", OUTSIDE, INTERNET],
                                probes.udp_hops)),
    Check("traceroute vm3 -> vm1",
          lambda n: expect_hops(n.vm("vm3"), "172.18.100.10", ["172.18.200.1", "172.18.100.10"])),
    Check("outside -> balancer 192.168.209.55, shares of 2,000",
          _shared("outside", VIP, ("vm1", "vm3"), count=2000, within=0.1)),
    Check("outside -> balancer, a large page", _whole_page),
    Check("outside -> balancer by ping", lambda n: expect_ping(n.outside, VIP, 62)),
    Check("vm2 -> balancer of gw1", _shared("vm2", VIP, ("vm1", "vm3"))),
    Check("vm1 -> balancer of gw1, itself included", _itself),
    Check("vm3 -> balancer of its switch 192.168.2.2", _shared("vm3", INNER_VIP, ("vm1", "vm2"))),
    Check("vm4 -> balancer of its switch, shares of 2,000",
          _shared("vm4", INNER_VIP, ("vm1", "vm2"), count=2000, within=0.1)),
    Check("vm1 -> balancer of another switch", _not_for_others),
    Check("what the operator sees of it", _counted),
    Check("1,472 byte pings vm1 -> vm3 and 8.8.8.8",
          lambda n: expect_ping(n.vm("vm1"), "172.18.200.10", 63, size=1472, dont_fragment=True)
          and expect_ping(n.vm("vm1"), INTERNET, 61, size=1472, dont_fragment=True)),
)

CHECKS6 = (
    Check("vm3 -> vm1", lambda n: expect_ping(n.vm("vm3"), "fd18:100::10", 63)),
    Check("vm2 -> vm4", lambda n: expect_ping(n.vm("vm2"), "fd18:200::20", 63)),
    Check("vm1 -> vm2", lambda n: expect_ping(n.vm("vm1"), "fd18:100::20", 64)),
    Check("vm1 -> gateway", lambda n: expect_ping(n.vm("vm1"), "fd20::120", 253)),
    Check("outside -> gateway", lambda n: expect_ping(n.outside, "fd20::120", 254)),
    Check("outside -> vm1", lambda n: expect_ping(n.outside, "fd18:100::10", 62)),
    Check("vm1 -> outside", lambda n: expect_ping(n.vm("vm1"), OUTSIDE6, 62)),
    Check("TCP vm3 -> vm1", lambda n: expect_page(n.vm("vm3"), "vm1", "fd18:100::10")),
    Check("TCP outside -> vm4", lambda n: expect_page(n.outside, "vm4", "fd18:200::20")),
    Check("TCP vm2 -> outside", lambda n: expect_page(n.vm("vm2"), "outside", OUTSIDE6)),
    Check("traceroute vm1 -> outside",
          lambda n: expect_hops(n.vm("vm1"), OUTSIDE6, ["fd18:100::1", "fd19:255::1", OUTSIDE6])),
    Check("traceroute outside -> vm1",
          lambda n: expect_hops(n.outside, "fd18:100::10",
                                ["fd20::120", "fd19:255::2", "fd18:100::10"])),
)
