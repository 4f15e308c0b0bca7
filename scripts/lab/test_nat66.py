"""NAT, a balancer and ACLs of IPv6 with real hosts: the example of configs/, as it stands."""

import time

import pytest

import probes
from checks import expect, expect_ping
from netns import CommandFailed
from node import CONFIGS, Node, Vm, taps_of

EXAMPLE = CONFIGS / "examples" / "nat66"
INTERNET, ROUTER = "2001:db8:1::ffff", "2001:db8:1::1"
WEB1, WEB2 = "2001:db8:1::11", "fd00:10::12"
VIP = "2001:db8:1::80"
SERVERS = {
    "web1": ("02:00:00:00:00:11", "fd00:10::11"),
    "web2": ("02:00:00:00:00:12", "fd00:10::12"),
}
PORT = 8080
# Says from where it was asked.
WHO = """
import http.server, socket
class Who(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", 8000), Who).serve_forever()
"""


class Nat66:
    """A gateway router between two servers and the internet."""

    def __init__(self, lab, binaries):
        self.vms = {
            name: Vm(lab, name, mac, [f"{address}/64"], routes=[("default", "fd00:10::1")])
            for name, (mac, address) in SERVERS.items()
        }
        wire = lab.wire("provider")
        self.node = Node(lab, "gw", binaries)
        wire.attach(self.node.namespace, "eth1")
        self.internet = lab.namespace("internet")
        wire.attach(self.internet, "eth0")
        self.internet.host("eth0", addresses=[f"{INTERNET}/64"], offload=False)
        self.node.configure(EXAMPLE / "node.toml", worker=0, change=small)
        for vm, tap in taps_of(EXAMPLE / "node.toml").items():
            self.node.carries(self.vms[vm], tap)
        self.node.start()
        for vm in self.vms.values():
            probes.HttpServer(vm.namespace, "::", port=PORT)
            probes.HttpServer(vm.namespace, "::", port=8001)
        self.internet.start(probes.PYTHON, "-c", WHO)
        probes.wait_listening(self.internet, 8000)
        probes.wait_ping(self.vms["web2"].namespace, INTERNET)

    def vm(self, name):
        """The namespace of a server."""
        return self.vms[name].namespace

    def connections(self, *words):
        """Connections of IPv6 as the operator sees them."""
        return self.node.show("connections", *words)


def small(document):
    """No more memory than the test needs."""
    document["dataplane"] |= {"connections_ipv6": 4096}


@pytest.fixture(scope="module")
def network(lab, binaries):
    return Nat66(lab, binaries)


def test_sources_are_translated(network):
    for vm, address in (("web1", WEB1), ("web2", ROUTER)):
        expect_ping(network.vm(vm), INTERNET, 63)
        expect(probes.fetch(network.vm(vm), INTERNET) == address, f"{vm} is not seen as {address}")
    rows = network.connections("--src", WEB2, "--dport", "8000")
    expect(rows and rows[0]["translation"] == "snat", f"{rows}")
    expect(rows[0]["reply_dst"].startswith(f"[{ROUTER}]:"), f"{rows}")


def test_a_floating_ip_is_reached(network):
    expect_ping(network.internet, WEB1, 63)
    assert probes.fetch(network.internet, WEB1, port=PORT) == "web1"
    assert probes.fetch_size(network.internet, WEB1, port=PORT) == 1 << 20


def test_a_balancer_shares(network):
    seen = probes.shares(network.internet, VIP, 200, port=80)
    expect(set(seen) == set(SERVERS) and min(seen.values()) > 50, f"{seen}")
    assert probes.fetch_size(network.internet, VIP, port=80) == 1 << 20
    # By a server too, be it to itself.
    seen = probes.shares(network.vm("web2"), VIP, 50, port=80)
    expect(set(seen) == set(SERVERS), f"{seen}")


def test_errors_find_their_way_back(network):
    expect(probes.udp_hops(network.vm("web2"), INTERNET) == ["fd00:10::1", INTERNET], "no route seen")


def test_what_no_rule_allows_is_refused_at_once(network):
    start = time.monotonic()
    with pytest.raises(CommandFailed, match="[Rr]efused|[Cc]ouldn't connect|[Ff]ailed to connect"):
        probes.fetch(network.vm("web1"), WEB2, port=8001, timeout=8)
    assert time.monotonic() - start < 4
    drops = {row["reason"]: row["packets"] for row in network.node.show("drops")}
    assert drops["acl-reject"] >= 1


def test_connections_are_flushed(network):
    assert probes.fetch(network.internet, WEB1, port=PORT) == "web1"
    expect(network.connections("--dst", WEB1), "no connection")
    network.node.ctl("connections", "flush", "--dst", WEB1)
    time.sleep(0.5)
    left = network.connections("--dst", WEB1)
    expect(not left, f"{left}")
