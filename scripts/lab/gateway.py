"""A gateway alone: the example of two cards, with a balancer and a floating IP, hosts on both sides, and strangers."""

import itertools
import json
import re
import tomllib
from pathlib import Path

import probes
import toml_text
from netns import wait_for
from node import CONFIGS, Node

EXAMPLE = CONFIGS / "examples" / "two-nics"
STRANGERS = Path(__file__).with_name("strangers.py")
ADDRESS, UPSTREAM = "203.0.113.10", "203.0.113.1"
VIP, FLOATING = "203.0.113.80", "203.0.113.20"
CLIENT, SERVER, TENANT = "192.168.50.10", "192.168.50.20", "192.168.50.66"
# A chassis of its own for each card; strangers have neither of them.
INSIDE_MAC, OUTSIDE_MAC = "02:00:00:00:50:01", "02:00:00:00:71:10"
# Kind of flood: by which side it comes, from whom and to whom.
FLOODS = {
    "syn": ("outside", "198.18.0.1", VIP),
    "scan": ("outside", "198.18.0.1", FLOATING),
    "udp": ("inside", TENANT, "198.18.0.1"),
}


def topology(document):
    """With fixed MACs, a balancer and a floating IP of the server."""
    router = document["router"]["r1"]
    router["port"]["r1-inside"]["mac"] = INSIDE_MAC
    router["port"]["r1-outside"]["mac"] = OUTSIDE_MAC
    router["load_balancers"] = ["web"]
    router["nat"].append(
        {"type": "dnat_and_snat", "logical_ip": SERVER, "external_ip": FLOATING}
    )
    document["load_balancer"] = {"web": {"vips": {VIP: [SERVER]}}}
    return document


def node(document):
    """On cards of the lab."""
    document["interface"] = {
        "lan0": {"device": "net_af_packet0,iface=lan0"},
        "wan0": {"device": "net_af_packet1,iface=wan0"},
    }
    document["dataplane"] |= {"idle": "adaptive", "hugepages": "auto"}
    del document["log"]


class Gateway:
    """The network, running: `client` and `server` inside, `outside` upstream of the gateway."""

    def __init__(self, lab, binaries, worker=0, change=lambda document: None):
        self.lab = lab
        self._numbers = itertools.count()
        self.node = Node(lab, "gw", binaries)
        self.wires = {"inside": lab.wire("lan", mtu=1500), "outside": lab.wire("wan", mtu=1500)}
        self.wires["inside"].attach(self.node.namespace, "lan0")
        self.wires["outside"].attach(self.node.namespace, "wan0")
        route = [("default", "192.168.50.1")]
        self.client = self._host("client", "inside", f"{CLIENT}/24", route)
        self.server = self._host("server", "inside", f"{SERVER}/24", route)
        self.outside = self._host(
            "outside", "outside", f"{UPSTREAM}/24", [("198.18.0.0/15", ADDRESS)]
        )
        # Answers to strangers end here.
        self.outside.ip("route replace blackhole 198.18.0.0/15")
        self.strangers = {side: self._stranger(side) for side in self.wires}
        written = lab.directory / "topology.toml"
        example = tomllib.loads((EXAMPLE / "topology.toml").read_text())
        written.write_text(toml_text.dumps(topology(example)))

        def changed(document):
            node(document)
            change(document)

        self.node.configure(
            EXAMPLE / "node.toml", worker=worker, topology=written, change=changed
        )
        self.node.start()
        for host, target in (
            (self.client, UPSTREAM),
            (self.server, UPSTREAM),
            (self.outside, FLOATING),
        ):
            probes.wait_ping(host, target)

    def _host(self, name, side, address, routes):
        namespace = self.lab.namespace(name)
        self.wires[side].attach(namespace, "eth0")
        namespace.host("eth0", addresses=[address], routes=routes, offload=False)
        return namespace

    def _stranger(self, side):
        """Who sends by a card of its own into a wire, or into another one at whose end nobody is."""
        namespace = self.lab.namespace(f"bad-{side}")
        self.wires[side].attach(namespace, "eth0")
        sink = self.lab.wire(f"sink-{side}", mtu=1500)
        sink.attach(namespace, "sink0")
        sink.attach(self.lab.namespace(f"end-{side}"), "eth0")
        namespace.ip("link set eth0 arp off")
        return namespace

    def flood(self, kind, rate, seconds, sink=False, argv=(), started=lambda process: None):
        """Lets strangers send; returns what gives how many packets they sent and in how many seconds."""
        side, source, target = FLOODS[kind]
        namespace = self.strangers[side]
        iface = "sink0" if sink else "eth0"
        (link,) = json.loads(namespace.ip(f"-j link show {iface}").stdout)
        report = self.lab.directory / f"flood-{next(self._numbers)}.json"
        to = {"inside": INSIDE_MAC, "outside": OUTSIDE_MAC}[side]
        words = (iface, kind, source, target, link["address"], to, rate, seconds, report)
        process = namespace.start(*argv, probes.PYTHON, STRANGERS, *words)
        started(process)

        def done():
            wait_for(f"a flood of {kind}", lambda: process.poll() is not None, timeout=60)
            return json.loads(report.read_text())

        return done

    def memory(self):
        """Memory of the daemon in kB, hugepages included."""
        text = Path(f"/proc/{self.node.process.pid}/status").read_text()
        fields = ("VmRSS", "HugetlbPages")
        return sum(int(re.search(rf"{field}:\s+(\d+)", text)[1]) for field in fields)

    def drops(self):
        """Dropped packets by reason."""
        return {row["reason"]: row["packets"] for row in self.node.show("drops")}

    def interfaces(self):
        """What the cards count, by name."""
        return {row["name"]: row for row in self.node.show("interfaces")}

    def metrics(self):
        """Every metric of the node, by name and labels."""
        lines = self.node.ctl("metrics").stdout.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}
