"""N1 with health checks on the gateway's balancer: a server is killed and comes back."""

import pytest

import n1
import probes
from checks import expect
from netns import CommandFailed, wait_for

VIP, PORT = n1.VIP, 8000
SERVERS = {"172.18.100.10": "vm1", "172.18.200.10": "vm3"}


def with_checks(document):
    """The balancer of gw1 with a port, and its backends asked every second, by TCP."""
    balancer = next(b for b in document["load_balancer"].values() if VIP in b["vips"])
    balancer["vips"] = {f"{VIP}:{PORT}": [f"{ip}:{PORT}" for ip in SERVERS]}
    balancer["ip_port_mappings"] = {
        "172.18.100.10": "vm1:172.18.100.250",
        "172.18.200.10": "vm3:172.18.200.250",
    }
    balancer["health_check"] = {
        f"{VIP}:{PORT}": {"type": "http", "interval": 1, "timeout": 1, "failure_count": 2}
    }
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    """N1 whose backends are checked; both VMs are on other nodes than the gateway."""
    made = n1.N1(lab, binaries, change=with_checks)
    made.servers = {}
    return made


def states(network):
    """The state of each backend, by the server's name, as the operator sees it."""
    rows = [row for row in network.nodes["node1"].show("lb") if row["vip"] == f"{VIP}:{PORT}"]
    return {SERVERS[row["backend"].rpartition(":")[0]]: row["state"] for row in rows}


def wait_states(network, **wanted):
    wait_for(f"backends {wanted}", lambda: states(network) == wanted, timeout=20, every=0.1)


def server_of(network, name):
    """The process that listens in a VM."""
    found = network.vm(name).run("ss", "-Hltnp", f"sport = :{PORT}").stdout
    return int(found.split("pid=")[1].split(",")[0])


def test_a_killed_server_gets_nothing_more(network):
    wait_states(network, vm1="online", vm3="online")
    seen = probes.shares(network.outside, VIP, 100)
    expect(set(seen) == {"vm1", "vm3"}, f"{seen}")
    network.vm("vm3").run("kill", "-9", server_of(network, "vm3"))
    wait_states(network, vm1="online", vm3="offline")
    # Not one of them fails from now on.
    seen = probes.shares(network.outside, VIP, 200)
    expect(seen == {"vm1": 200}, f"{seen}")
    rows = {row["backend"]: row for row in network.nodes["node1"].show("lb")}
    row = rows[f"172.18.200.10:{PORT}"]
    expect(row["failure"] == "connection reset", f"{row}")
    expect(row["since_seconds"] < 30, f"{row}")


def test_what_is_told_of_it(network):
    node = network.nodes["node1"]
    words = f"--port outside-localnet --src {n1.OUTSIDE} --dst {VIP} --proto tcp --dport {PORT}"
    text = node.trace(*words.split())
    expect(f"backend 172.18.200.10:{PORT} offline (connection reset)" in text, text)
    metrics = node.ctl("metrics").stdout
    down = [line for line in metrics.splitlines() if line.startswith("sluice_lb_backend_up{")]
    expect(sorted(line[-1] for line in down) == ["0", "1"], f"{down}")


def test_it_comes_back(network):
    probes.HttpServer(network.vm("vm3"))
    wait_states(network, vm1="online", vm3="online")
    seen = probes.shares(network.outside, VIP, 200)
    expect(set(seen) == {"vm1", "vm3"}, f"{seen}")
    expect(all(70 <= times <= 130 for times in seen.values()), f"{seen}")


def test_with_nobody_left(network):
    for name in SERVERS.values():
        network.vm(name).run("kill", "-9", server_of(network, name))
    wait_states(network, vm1="offline", vm3="offline")
    with pytest.raises(CommandFailed):
        probes.fetch(network.outside, VIP, timeout=2)
    drops = {row["reason"]: row for row in network.nodes["node1"].show("drops")}
    expect("no-backend" in drops, f"{drops}")
    for name in SERVERS.values():
        probes.HttpServer(network.vm(name))
    wait_states(network, vm1="online", vm3="online")
    expect(probes.fetch(network.outside, VIP) in SERVERS.values(), "no page")
