"""The laboratory itself, without a router: parsers, namespaces, peers of the probes."""

import tomllib

import pytest

import capture
import checks
import netns
import probes
import reload
import toml_text
import wirebytes
from node import CONFIGS

PING = """PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.
64 bytes from 10.0.0.1: icmp_seq=1 ttl=63 time=0.5 ms
64 bytes from 10.0.0.1: icmp_seq=3 ttl=62 time=0.5 ms

--- 10.0.0.1 ping statistics ---
3 packets transmitted, 2 received, 33.3% packet loss, time 402ms
"""

TRACEROUTE = """traceroute to 8.8.8.8 (8.8.8.8), 8 hops max, 60 byte packets
 1  172.18.100.1  0.4 ms
 2  *
 3  8.8.8.8  0.9 ms
"""


def test_ping_output_is_read():
    seen = probes.parse_ping(PING)
    assert (seen.sent, seen.received, seen.ttls) == (3, 2, {62, 63})
    assert not seen.complete
    with pytest.raises(netns.CommandFailed):
        probes.parse_ping("ping: connect: Network is unreachable")


def test_traceroute_output_is_read():
    assert probes.parse_traceroute(TRACEROUTE) == ["172.18.100.1", "*", "8.8.8.8"]
    report = '{"report": {"hubs": [{"count": 1, "host": "10.0.0.1"}, {"count": 2, "host": "???"}]}}'
    assert probes.parse_mtr(report) == ["10.0.0.1", "???"]


def test_stream_comparison_names_what_is_missing():
    got = {"numbers": [0, 2, 1, 1, 4], "sources": ["10.0.0.1"], "longest_gap_ms": 3.0}
    seen = checks_of(probes.compare(6, got))
    assert seen == ((3, 5), 1, 2, 4)


def checks_of(seen):
    return seen["missing"], seen["duplicates"], seen["reordered"], seen["received"]


def test_hex_dump_is_read():
    text = "IP 1 > 2\n\t0x0000:  0001 0203 04\nIP 2 > 1\n\t0x0000:  ff00\n\t0x0010:  aa\n"
    assert capture.parse_hex(text) == [bytes([0, 1, 2, 3, 4]), bytes([0xFF, 0, 0xAA])]


@pytest.mark.parametrize("name", ["n0", "n1", "n2", "n3"])
def test_toml_survives_a_round_trip(name):
    files = sorted((CONFIGS / name).glob("*.toml"))
    assert files
    for path in files:
        document = tomllib.loads(path.read_text())
        assert tomllib.loads(toml_text.dumps(document)) == document


@pytest.fixture(scope="module")
def pair(lab):
    """Two hosts on one wire."""
    wire = lab.wire("wire", mtu=1500)
    hosts = []
    for number in (1, 2):
        host = lab.namespace(f"host{number}")
        wire.attach(host, "eth0")
        host.host("eth0", addresses=[f"10.9.0.{number}/24", f"fd09::{number}/64"], offload=False)
        hosts.append(host)
    return wire, *hosts


def test_probes_see_a_plain_wire(pair):
    _, one, two = pair
    probes.HttpServer(two, "::")
    for address in ("10.9.0.2", "fd09::2"):
        assert "TTL 64" in checks.expect_ping(one, address, 64)
        assert "host2" in checks.expect_page(one, "host2", address)
        assert checks.expect_hops(one, address, [address]) == address
        assert checks.expect_hops(one, address, [address], probes.udp_hops) == address
    with pytest.raises(checks.Expected):
        checks.expect_ping(one, "10.9.0.2", 63)
    checks.expect_no_ping(one, "10.9.0.3")


def test_a_numbered_stream_over_a_plain_wire_is_complete(pair):
    _, one, two = pair
    probes.start_iperf_server(two)
    stream = probes.UdpStream(one, two, "10.9.0.2", seconds=2)
    transfer = probes.iperf(one, "10.9.0.2", seconds=1)
    seen = stream.result()
    assert (seen.sent, seen.missing, seen.duplicates, seen.sources) == (2000, (), 0, ("10.9.0.1",))
    assert transfer.mbit_per_second > 0


def test_a_cut_wire_loses_packets_and_a_capture_sees_the_rest(pair):
    wire, one, _ = pair
    seen = capture.Capture(wire.namespace, "host1-eth0", "icmp")
    assert probes.ping(one, "10.9.0.2", count=2).complete
    wire.cut("host2-eth0")
    checks.expect_no_ping(one, "10.9.0.2")
    wire.mend("host2-eth0")
    probes.wait_ping(one, "10.9.0.2")
    lines = seen.stop().lines("icmp[icmptype] == icmp-echoreply")
    assert len(lines) >= 3
    assert seen.fields("icmp.type == 8", "ip.ttl")[0] == ("64",)
    assert len(seen.frames("icmp")[0]) == 14 + 20 + 8 + 56


def test_a_lab_removes_what_it_made():
    with netns.Lab() as made:
        namespace = made.namespace("gone")
        process = namespace.start("sleep", "600")
        directory = made.directory
        assert namespace.id in netns.leftovers(made.run_id)
    assert process.poll() is not None
    assert not directory.exists()
    assert namespace.id not in netns.leftovers(made.run_id)


# A Geneve packet as OVN sends it: echo request of a VM on its way to a gateway.
OVN_PACKET = bytes.fromhex(
    "02aa0000022102aa000002110800"
    "450000560000400040 11e256ac10000bac100015 b0c417c1 0042 de51".replace(" ", "")
    + "0240655800000400 0102800100010004".replace(" ", "")
    + "02aa00000601 000001010205 0800".replace(" ", "")
    + "4500001c 0001 4000 3f01 6a1e c0a8010a 08080808 0800 f7fd 0001 0001".replace(" ", "")
)


def test_geneve_bytes_are_taken_apart():
    packet = wirebytes.parse(OVN_PACKET)
    assert (packet.source, packet.target, packet.ttl) == ("172.16.0.11", "172.16.0.21", 64)
    assert (packet.vni, packet.keys) == (4, (1, 4))
    assert packet.inner_macs == ("02:aa:00:00:06:01", "00:00:01:01:02:05")
    assert (packet.inner_ttl, packet.dont_fragment, packet.identification) == (63, True, 0)
    assert packet.udp_checksum_right
    broken = bytearray(OVN_PACKET)
    broken[-1] ^= 1
    assert not wirebytes.parse(bytes(broken)).udp_checksum_right
    assert wirebytes.parse(OVN_PACKET[:12] + b"\x08\x06" + bytes(60)) is None


@pytest.mark.parametrize("number", range(20))
def test_mistakes_of_the_reload_test_are_made(number):
    document = tomllib.loads((CONFIGS / "n1" / "topology.toml").read_text())
    good = toml_text.dumps(document)
    text, word = reload.broken(good, number)
    assert word and text != good
    assert text != reload.broken(good, number + 10)[0]


def test_variants_of_the_reload_test_differ_and_keep_what_is_there():
    document = tomllib.loads((CONFIGS / "n1" / "topology.toml").read_text())
    seen = set()
    for number in range(30):
        changed = reload.variant(document, number)
        seen.add(toml_text.dumps(changed))
        assert changed["switch"]["ls1"]["port"]["vm1"] == document["switch"]["ls1"]["port"]["vm1"]
        assert changed["router"]["gw1"] == document["router"]["gw1"]
    assert len(seen) == 30
