"""ACLs on N1's switches, with real TCP between Linux hosts on three nodes."""

import subprocess
import time

import pytest

import n1
import probes
import toml_text
from netns import CommandFailed, wait_for

VM1, VM3 = "172.18.100.10", "172.18.200.10"
# Gives back what it gets, on one port, to all who come.
ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)
socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Echo).serve_forever()
"""
# Talks to an echo over one connection until it gets no answer for three seconds.
TALK = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3) as stream:
    print("open", flush=True)
    while True:
        stream.sendall(b"x")
        assert stream.recv(1) == b"x"
        time.sleep(0.1)
"""
ECHO_PORT = 8003


def acl(direction, priority, match, action, **more):
    return {"direction": direction, "priority": priority, "match": match, "action": action, **more}


def guarded(document, ports=f"8000, {ECHO_PORT}"):
    """vm1 serves one port and asks whomever it likes; vm3 tells whom it refuses."""
    document["switch"]["ls1"]["acl"] = [
        acl("to-lport", 10, f'outport == "vm1" && (tcp.dst == {{{ports}}} || icmp4)', "allow-related"),
        acl("to-lport", 1, 'outport == "vm1" && ip', "drop"),
        acl("from-lport", 1, 'inport == "vm1" && ip', "allow-related"),
    ]
    document["switch"]["ls2"]["acl"] = [
        acl("to-lport", 10, 'outport == "vm3" && (tcp.dst == 8001 || udp)', "reject"),
    ]
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = n1.N1(lab, binaries, change=guarded)
    for vm in ("vm1", "vm3"):
        namespace = made.vms[vm].namespace
        probes.HttpServer(namespace, port=8001)
        namespace.start(probes.PYTHON, "-c", ECHO, ECHO_PORT)
        probes.wait_listening(namespace, ECHO_PORT)
    return made


def test_what_is_allowed_passes_in_full(network):
    for vm in ("vm2", "vm3", "vm4"):
        namespace = network.vms[vm].namespace
        assert probes.fetch(namespace, VM1) == network.vms["vm1"].namespace.name
        assert probes.fetch_size(namespace, VM1) == 1 << 20


def test_what_is_not_allowed_gets_no_answer(network):
    with pytest.raises(CommandFailed, match="timed out"):
        probes.fetch(network.vms["vm2"].namespace, VM1, port=8001, timeout=2)


def test_answers_to_the_guarded_host_pass(network):
    namespace = network.vms["vm1"].namespace
    for address in (n1.OUTSIDE, "172.18.100.20", VM3):
        assert probes.fetch_size(namespace, address) == 1 << 20
        assert probes.ping(namespace, address).received == 3
    # Traceroute needs the errors about its own packets.
    assert probes.udp_hops(namespace, n1.OUTSIDE)


def test_refused_clients_are_told_at_once(network):
    for vm in ("vm1", "vm2", "vm4"):
        start = time.monotonic()
        with pytest.raises(CommandFailed, match="[Rr]efused|[Cc]ouldn't connect|[Ff]ailed to connect"):
            probes.fetch(network.vms[vm].namespace, VM3, port=8001, timeout=8)
        assert time.monotonic() - start < 4
    drops = {row["reason"]: row["packets"] for row in network.nodes["node3"].show("drops")}
    assert drops["acl-reject"] >= 3
    rejected = [row for row in network.nodes["node3"].show("acl") if row["action"] == "reject"]
    assert [row["hits"] for row in rejected] == [drops["acl-reject"]]


def test_a_reload_ends_what_is_not_allowed_any_more(network):
    streams = {
        vm: subprocess.Popen(
            network.vms[vm].namespace.argv(probes.PYTHON, "-c", TALK, target, ECHO_PORT),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for vm, target in (("vm2", VM1), ("vm4", VM3))
    }
    try:
        for stream in streams.values():
            assert stream.stdout.readline() == "open\n"
        document = guarded(network.document, ports="8000")
        network.topology.write_text(toml_text.dumps(document))
        for node in network.nodes.values():
            node.ctl("reload")
        wait_for("vm2's connection to end", lambda: streams["vm2"].poll() is not None, timeout=15)
        assert streams["vm4"].poll() is None
    finally:
        for stream in streams.values():
            stream.kill()
            stream.wait()
