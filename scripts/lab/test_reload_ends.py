"""Reloads that take a backend, a NAT rule, an ACL: the streams that they concern end, all others go on."""

import pytest

import n1
import reload
import toml_text
from checks import expect
from held import Held, serve

COUNT = 100
SECOND = "192.168.209.121"


def rule(inside, outside):
    return {"type": "snat", "logical_ip": inside, "external_ip": outside}


def acl(priority, action):
    return {
        "direction": "from-lport",
        "priority": priority,
        "match": "tcp.dst == 9001",
        "action": action,
    }


def with_rules(document):
    """N1 with a rule for each inner network, and an ACL that a lower one would forbid."""
    document["router"]["gw1"]["nat"] = [
        rule("172.18.100.0/24", n1.GATEWAY),
        rule("172.18.200.0/24", SECOND),
    ]
    document["switch"]["ls1"]["acl"] = [acl(1001, "allow-related"), acl(1000, "drop")]
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = n1.N1(lab, binaries, change=with_rules)
    for namespace in (made.outside, made.vm("vm1"), made.vm("vm3")):
        serve(namespace, 9000)
    serve(made.outside, 9001)
    made.held = {
        "balanced": Held(made.outside, n1.VIP, 9000, COUNT),
        "first rule": Held(made.vm("vm1"), n1.OUTSIDE, 9000, COUNT),
        "second rule": Held(made.vm("vm4"), n1.OUTSIDE, 9000, COUNT),
        "allowed": Held(made.vm("vm2"), n1.OUTSIDE, 9001, COUNT),
    }
    return made


def put(network):
    """Puts the changed document into effect and lets the sweep end what it forbids."""
    reload.write(network.topology, toml_text.dumps(network.document))
    reload.reload_all(network)


def seen(network):
    return {name: held.alive() for name, held in network.held.items()}


def kept(network, *words, node="node1"):
    """Connections that a node keeps."""
    return len(network.nodes[node].show("connections", "--proto", "tcp", *words))


def test_all_are_open(network):
    opened = {name: held.open for name, held in network.held.items()}
    expect(set(opened.values()) == {COUNT}, f"{opened}")
    expect(kept(network, "--dport", "9000") >= 3 * COUNT, "not all are tracked")


def test_a_backend_goes(network):
    rows = network.nodes["node1"].show("connections", "--dst", n1.VIP, "--dport", "9000")
    of_vm1 = sum(row["reply_src"].startswith("172.18.100.10:") for row in rows)
    expect(0 < of_vm1 < COUNT, f"{of_vm1} of {len(rows)}")
    balancer = next(b for b in network.document["load_balancer"].values() if n1.VIP in b["vips"])
    balancer["vips"][n1.VIP].remove("172.18.200.10")
    put(network)
    wanted = {"balanced": of_vm1, "first rule": COUNT, "second rule": COUNT, "allowed": COUNT}
    expect(seen(network) == wanted, f"not {wanted}")
    network.of_vm1 = of_vm1


def test_a_rule_goes(network):
    network.document["router"]["gw1"]["nat"].pop()
    put(network)
    wanted = {
        "balanced": network.of_vm1, "first rule": COUNT, "second rule": 0, "allowed": COUNT,
    }
    found = seen(network)
    expect(found == wanted, f"{found}, not {wanted}")
    expect(kept(network, "--dst", SECOND) == 0, "connections of the rule are kept")


def test_an_acl_goes(network):
    network.document["switch"]["ls1"]["acl"].pop(0)
    put(network)
    wanted = {"balanced": network.of_vm1, "first rule": COUNT, "second rule": 0, "allowed": 0}
    found = seen(network)
    expect(found == wanted, f"{found}, not {wanted}")
    expect(kept(network, "--dport", "9001", node="node3") == 0, "connections of the ACL are kept")
