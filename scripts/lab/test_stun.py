"""What a STUN client behind the gateway finds out about its NAT (RFC 5780), in each way of mapping and filtering.

The server, coturn, has two addresses and two ports in the namespace outside; the client, coturn's too, runs in vm1. Where what a
port becomes shall depend on the other side, vm3 has that port already towards two of the server's four ends.
`mgmt/docs/nat-conformance.md` says the same from inside.
"""

import pytest

import n1
import toml_text
from checks import expect
from conftest import require
from netns import wait_for

pytestmark = require("turnserver", "turnutils_natdiscovery")

SECOND = "192.168.209.162"
ADDRESSES = (n1.OUTSIDE, SECOND)
PORT, OTHER_PORT = 3478, 3479
CLIENT = "172.18.100.10"

INDEPENDENT = "Endpoint Independent"
BY_ADDRESS = "Address Dependent"
BY_BOTH = "Address and Port Dependent"

# Keys of the rule; what the client says of mapping and of filtering.
MODES = {
    "default": ({}, BY_BOTH, BY_BOTH),
    "filtered": ({"mapping": "endpoint-independent"}, INDEPENDENT, BY_BOTH),
    "restricted": (
        {"mapping": "endpoint-independent", "filtering": "address-dependent"},
        INDEPENDENT,
        BY_ADDRESS,
    ),
    "open": (
        {"mapping": "endpoint-independent", "filtering": "endpoint-independent"},
        INDEPENDENT,
        INDEPENDENT,
    ),
}

# Binds a port and sends to both ends that are named, so that it is taken towards them.
RIVAL = """
import socket, sys
port, *ends = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(port)))
for end in ends:
    s.sendto(b"x", (end, 3478))
"""


class Stun:
    """N1 with a STUN server outside."""

    def __init__(self, lab, binaries):
        self.network = n1.N1(lab, binaries, change=lambda document: document)
        outside = self.network.outside
        outside.ip(f"addr add {SECOND}/19 dev eth0")
        listen = [word for address in ADDRESSES for word in ("-L", address)]
        outside.start(
            "turnserver", "-n", "--stun-only", "--no-auth", "--no-tls", "--no-dtls", "--no-cli",
            *listen, "-p", PORT, "--alt-listening-port", OTHER_PORT,
            "--pidfile", lab.directory / "turnserver.pid", "--userdb", lab.directory / "turndb",
            "--log-file", "stdout", "--simple-log",
            log=lab.directory / "turnserver.log",
        )  # fmt: skip
        wait_for("the STUN server listening", self._listening)
        self.port = 20000

    def _listening(self):
        sockets = self.network.outside.run("ss", "-uln").stdout
        ends = [f"{address}:{port}" for address in ADDRESSES for port in (PORT, OTHER_PORT)]
        return all(end in sockets for end in ends)

    def map_by(self, keys):
        """Lets the gateway's rule say this, in place of what it said, and ends the connections of before."""
        document = self.network.document
        rule = document["router"]["gw1"]["nat"][0]
        for key in ("mapping", "filtering"):
            rule.pop(key, None)
        rule.update(keys)
        self.network.topology.write_text(toml_text.dumps(document))
        for node in self.network.nodes.values():
            node.ctl("reload")

    def ask(self, option):
        """The client's verdict about a port that it has not used before."""
        self.port += 1
        rival = self.network.vm("vm3")
        rival.run("/usr/bin/python3", "-c", RIVAL, self.port, *ADDRESSES)
        done = self.network.vm("vm1").run(
            "turnutils_natdiscovery", option, "-p", PORT, "-L", CLIENT, "-l", self.port, n1.OUTSIDE,
            timeout=60, check=False,
        )  # fmt: skip
        said = [line for line in done.stdout.splitlines() if line.startswith("NAT with ")]
        expect(said, f"no verdict:\n{done.stdout}{done.stderr}")
        return said[-1]


@pytest.fixture(scope="module")
def stun(lab, binaries):
    """The network, running."""
    return Stun(lab, binaries)


@pytest.mark.parametrize("mode", MODES)
def test_verdict(stun, mode):
    keys, mapping, filtering = MODES[mode]
    stun.map_by(keys)
    assert stun.ask("-m") == f"NAT with {mapping} Mapping!"
    assert stun.ask("-f") == f"NAT with {filtering} Filtering!"


def test_mappings_are_shown(stun):
    stun.map_by(MODES["open"][0])
    stun.ask("-m")
    rows = stun.network.nodes["node1"].show("mappings")
    mine = [row for row in rows if row["inside"] == f"{CLIENT}:{stun.port}"]
    expect(len(mine) == 1, f"not one mapping of the client: {rows}")
    assert mine[0]["outside"].startswith(f"{n1.GATEWAY}:") and mine[0]["connections"] > 0
