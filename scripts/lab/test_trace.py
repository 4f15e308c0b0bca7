"""`sluicectl trace`: what becomes of a packet, and who decided it."""

import pytest

import toml_text
from node import Node, Vm

# N4's two switches and a router; a port behind port security; a route to nowhere.
TOPOLOGY = {
    "chassis": {"node1": {"encap": {"type": "geneve", "ip": "172.16.4.1"}}},
    "switch": {
        "sw0": {
            "port": {
                "sw0-port1": {
                    "addresses": ["50:54:00:00:00:01 192.168.0.2"],
                    "port_security": ["50:54:00:00:00:01 192.168.0.2"],
                    "chassis": "node1",
                },
                "sw0-lr0": {"type": "router", "router_port": "lr0-sw0"},
            }
        },
        "sw1": {
            "port": {
                "sw1-port1": {"addresses": ["50:54:00:00:00:03 11.0.0.2"], "chassis": "node1"},
                "sw1-lr0": {"type": "router", "router_port": "lr0-sw1"},
            }
        },
    },
    "router": {
        "lr0": {
            "port": {
                "lr0-sw0": {"mac": "00:00:00:00:ff:01", "networks": ["192.168.0.1/24"]},
                "lr0-sw1": {"mac": "00:00:00:00:ff:02", "networks": ["11.0.0.1/24"]},
            }
        }
    },
}
NODE = {
    "chassis": "node1",
    "topology": "topology.toml",
    "interface": {
        "tap0": {"device": "net_tap0,iface=tap0", "iface_id": "sw0-port1"},
        "tap1": {"device": "net_tap1,iface=tap1", "iface_id": "sw1-port1"},
    },
}
FROM_FIRST = "--port sw0-port1 --eth-src 50:54:00:00:00:01 --eth-dst 00:00:00:00:ff:01"
TO_SECOND = f"{FROM_FIRST} --src 192.168.0.2 --dst 11.0.0.2"


@pytest.fixture(scope="module")
def node(lab, binaries):
    made = Node(lab, "node1", binaries)
    (lab.directory / "topology.toml").write_text(toml_text.dumps(TOPOLOGY))
    (lab.directory / "node.toml").write_text(toml_text.dumps(NODE))
    made.configure(lab.directory / "node.toml", worker=0)
    one = Vm(lab, "vm1", "50:54:00:00:00:01", ["192.168.0.2/24"], [("default", "192.168.0.1")])
    two = Vm(lab, "vm2", "50:54:00:00:00:03", ["11.0.0.2/24"], [("default", "11.0.0.1")])
    made.carries(one, "tap0")
    made.carries(two, "tap1")
    made.start()
    return made


def test_a_routed_packet(node):
    text = node.trace(*f"{TO_SECOND} --proto udp --ttl 64".split())
    for said in ("sw0-port1", "sw0", "lr0", "sw1", "sw1-port1"):
        assert said in text, text
    assert "TTL 64 -> 63" in text, text
    assert "Ethernet source 00:00:00:00:ff:02, destination 50:54:00:00:00:03" in text, text


@pytest.mark.parametrize(
    "words, reason, named",
    [
        (
            "--port sw0-port1 --eth-src 50:54:00:00:00:99 --eth-dst 00:00:00:00:ff:01"
            " --src 192.168.0.2 --dst 11.0.0.2 --proto icmp",
            "port-security",
            ("sw0-port1", "sw0"),
        ),
        (
            "--port sw0-port1 --eth-src 50:54:00:00:00:01 --eth-dst 00:00:00:00:ff:01"
            " --src 192.168.0.9 --dst 11.0.0.2 --proto icmp",
            "port-security",
            ("sw0-port1", "sw0"),
        ),
        (f"{FROM_FIRST} --src 192.168.0.2 --dst 99.9.9.9 --proto icmp", "no-route", ("lr0", "lr0-sw0")),
        (f"{TO_SECOND} --proto icmp --ttl 1", "ttl", ("lr0", "lr0-sw0")),
    ],
)
def test_a_dropped_packet(node, words, reason, named):
    text = node.trace(*words.split())
    assert reason in text, text
    for name in named:
        assert name in text, text


def test_json_says_the_same(node):
    words = f"{TO_SECOND} --proto udp --ttl 64 --json".split()
    text = node.trace(*words)
    for said in ("lr0", "sw1-port1", "50:54:00:00:00:03"):
        assert said in text
