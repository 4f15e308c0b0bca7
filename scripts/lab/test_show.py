"""The operator's command against a running network: every table, filters, the socket, completion."""

import stat

import pytest

import n1
import probes
from checks import expect_no_ping, expect_page, expect_ping
from netns import run

TABLES = (
    "version topology interfaces workers switches ports fdb routers routes neighbors tunnels"
    " connections nat lb drops"
).split()


@pytest.fixture(scope="module")
def network(lab, binaries):
    made = n1.N1(lab, binaries)
    expect_ping(made.vm("vm1"), n1.INTERNET, 61)
    expect_page(made.vm("vm2"), "outside", n1.OUTSIDE)
    return made


@pytest.mark.parametrize("table", TABLES)
def test_every_table_as_text_and_json(network, table):
    node = network.nodes["node1"]
    text = node.ctl("show", table).stdout
    rows = node.show(table)
    assert text.strip()
    assert isinstance(rows, list) and (rows or table == "drops")
    assert all(row.keys() == rows[0].keys() for row in rows)


def test_a_connection_is_seen_with_its_translation(network):
    rows = network.nodes["node1"].show("connections", "--src", "172.18.100.20", "--proto", "tcp")
    assert rows
    for row in rows:
        assert row["src"].startswith("172.18.100.20:")
        assert row["reply_dst"].startswith(f"{n1.GATEWAY}:")
        assert (row["dst"], row["translation"]) == (f"{n1.OUTSIDE}:8000", "snat")
        assert row["packets"] > 0 and row["reply_packets"] > 0
    assert not network.nodes["node1"].show("connections", "--src", "172.18.100.99")


def test_rows_say_what_is_configured(network):
    node1, node2 = network.nodes["node1"], network.nodes["node2"]
    routes = node2.show("routes", "--router", "router1", "--dst", n1.INTERNET)
    assert [row["prefix"] for row in routes] == ["0.0.0.0/0"]
    tunnels = {row["chassis"]: row["remote"] for row in node1.show("tunnels")}
    assert tunnels == {"node2": "192.168.209.111", "node3": "192.168.209.112"}
    nat = node1.show("nat")
    assert len(nat) == 1 and "172.18.0.0/16" in str(nat[0]) and n1.GATEWAY in str(nat[0])
    links = {row["name"]: row["link"] for row in node2.show("interfaces")}
    assert links == {"eth0": "up", "vm1": "up", "vm4": "up"}
    neighbor = [row for row in node1.show("neighbors") if row["ip"] == n1.OUTSIDE]
    mac = network.outside.run("cat", "/sys/class/net/eth0/address").stdout.strip()
    assert [row["mac"] for row in neighbor] == [mac]


def test_forgetting_neighbors_is_not_felt(network):
    network.nodes["node1"].ctl("flush", "neighbors")
    expect_ping(network.vm("vm1"), n1.INTERNET, 61)


def test_a_cut_cable_is_seen_and_heals(network):
    node = network.nodes["node2"]
    network.underlay.cut(network.ends["node2"])
    expect_no_ping(network.vm("vm1"), n1.INTERNET)
    network.underlay.mend(network.ends["node2"])
    probes.wait_ping(network.vm("vm1"), n1.INTERNET)
    assert node.alive()


def test_the_socket_is_for_its_owner(network):
    mode = network.nodes["node1"].socket.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_completion_is_a_script_that_bash_reads(network):
    script = network.nodes["node1"].ctl("completion", "bash").stdout
    assert "sluicectl" in script and "connections" in script
    run("bash", "-n", stdin=script)


def test_a_mistyped_word_is_an_error(network):
    done = network.nodes["node1"].ctl("show", "conections", check=False)
    assert done.returncode != 0 and "connections" in done.stderr


def test_check_says_what_a_file_would_change(network):
    node = network.nodes["node2"]
    done = run(node.binaries.sluiced, "check", "--config", node.config)
    assert done.returncode == 0
    broken = node.directory / "broken.toml"
    broken.write_text(node.config.read_text().replace('chassis = "node2"', 'chassis = "node9"'))
    done = run(node.binaries.sluiced, "check", "--config", broken, check=False)
    assert done.returncode != 0
    assert "broken.toml:" in done.stdout + done.stderr and "node9" in done.stdout + done.stderr
