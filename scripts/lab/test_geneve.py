"""Geneve between nodes: OVN's bytes on the wire, and another program that reads them."""

import pytest

import n1
import wirebytes
from capture import Capture
from checks import expect_page, expect_ping

# Keys are written into the topology, so that the bytes on the wire are known beforehand.
DATAPATHS = {"ls1": 1, "ls2": 2, "ls3": 3, "outside": 4}
PORTS = {
    "vm1": 10, "vm2": 11, "ls1-router1": 1, "vm3": 12, "vm4": 13, "ls2-router1": 2,
    "ls3-router1": 0x0101, "ls3-gw1": 0x7FFE,
}  # fmt: skip


def with_keys(document):
    """The topology with these tunnel keys."""
    for name, switch in document["switch"].items():
        switch["key"] = DATAPATHS[name]
        for port in switch["port"]:
            if port in PORTS:
                switch["port"][port]["key"] = PORTS[port]
    return document


@pytest.fixture(scope="module")
def network(lab, binaries):
    return n1.N1(lab, binaries, change=with_keys)


@pytest.fixture(scope="module")
def seen(network):
    """Packets on node2's underlay while vm1 pings the outside and a VM of another switch."""
    capture = Capture(network.underlay.namespace, network.ends["node2"], "udp port 6081")
    expect_ping(network.vm("vm1"), n1.OUTSIDE, 62)
    expect_ping(network.vm("vm1"), "172.18.200.10", 63)
    return capture.stop()


def geneve(seen, source, target):
    """Geneve packets from one node's address to another's whose inner packet is ICMP."""
    packets = [wirebytes.parse(frame) for frame in seen.frames()]
    found = [
        one for one in packets
        if one and (one.source, one.target) == (source, target) and one.inner[23] == 1
    ]  # fmt: skip
    assert found, f"no Geneve packet {source} > {target}"
    return found


NODE1, NODE2, NODE3 = "192.168.209.110", "192.168.209.111", "192.168.209.112"
# Way, VNI, in and out key, inner destination and source MAC, inner TTL.
WAYS = [
    # To a gateway router: the joining switch, from the router's port to the gateway's.
    (NODE2, NODE1, "ls3", "ls3-router1", "ls3-gw1", "02:ac:10:ff:ff:01", "02:ac:10:ff:ff:02", 63),
    # Back: the gateway walks both routers and goes straight to the VM's switch.
    (NODE1, NODE2, "ls1", "ls1-router1", "vm1", "02:ac:10:ff:00:10", "02:ac:10:ff:00:01", 62),
    # Between two hosts: the destination's switch.
    (NODE2, NODE3, "ls2", "ls2-router1", "vm3", "02:ac:10:ff:10:10", "02:ac:10:ff:10:01", 63),
]


@pytest.mark.parametrize("source, target, switch, inport, outport, dst, src, ttl", WAYS)
def test_bytes(seen, source, target, switch, inport, outport, dst, src, ttl):
    header = bytes([0x02, 0x40, 0x65, 0x58, 0, 0, DATAPATHS[switch], 0])
    keys = PORTS[inport] << 16 | PORTS[outport]
    option = bytes([0x01, 0x02, 0x80, 0x01]) + keys.to_bytes(4, "big")
    for packet in geneve(seen, source, target):
        assert packet.header.hex() == header.hex()
        assert packet.options.hex() == option.hex()
        assert packet.inner_macs == (dst, src)
        assert packet.inner_ttl == ttl


def test_outer_headers(seen):
    for source, target in ((NODE2, NODE1), (NODE1, NODE2)):
        packets = geneve(seen, source, target)
        for packet in packets:
            assert (packet.identification, packet.dont_fragment) == (0, True)
            assert (packet.ttl, packet.dscp) == (64, 0)
            assert packet.udp_checksum != 0 and packet.udp_checksum_right
            assert packet.source_port >= 32768
        assert len({packet.source_port for packet in packets}) == 1, "one flow, one source port"


def test_flows_have_different_source_ports(network):
    capture = Capture(network.underlay.namespace, network.ends["node2"], "udp port 6081", name="f")
    for _ in range(8):
        expect_page(network.vm("vm1"), "outside", n1.OUTSIDE)
    capture.stop()
    packets = [wirebytes.parse(frame) for frame in capture.frames(f"src host {NODE2}")]
    flows = {packet.inner[34:38] for packet in packets if packet.inner[23] == 6}
    ports = {packet.source_port for packet in packets if packet.inner[23] == 6}
    assert len(flows) == 16
    # Chance lets two flows share a port now and then.
    assert len(ports) >= 14


def test_tshark_reads_it(seen):
    rows = seen.fields(
        f"geneve && icmp.type == 8 && ip.src == {NODE2} && ip.dst == {NODE1}",
        *("geneve.version", "geneve.vni", "geneve.flags.critical", "geneve.option.class"),
        *("geneve.option.type", "geneve.option.length", "geneve.option.unknown.data"),
    )
    assert rows
    keys = PORTS["ls3-router1"] << 16 | PORTS["ls3-gw1"]
    for version, vni, critical, option_class, option_type, length, value in rows:
        assert (int(version), int(vni, 0), int(option_class, 0)) == (0, 3, 0x0102)
        assert (critical, int(option_type, 0)) == ("1", 0x80)
        assert value.replace(":", "") == f"{keys:08x}"
        # Older releases give the length in bytes with the option's header, newer ones without.
        assert int(length, 0) in (4, 8)


def test_tshark_finds_nothing_wrong(seen):
    options = ("-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    assert seen.fields("geneve", "frame.number", options=options)
    wrong = "udp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed"
    assert not seen.fields(wrong, "frame.number", options=options)
