"""N4 on one node: access ports of two VLANs, and the trace of a packet between two switches."""

from checks import Check, expect, expect_no_ping, expect_ping
from node import CONFIGS, Node, Vm, taps_of

EXAMPLE = CONFIGS / "examples" / "vlan-access"
VMS = (
    ("con6", "02:00:00:00:04:06", "192.168.1.2"),
    ("con7", "02:00:00:00:04:07", "192.168.1.3"),
    ("con8", "02:00:00:00:04:08", "192.168.1.4"),
)


class AccessPorts:
    """Three machines on one switch: con6 and con8 in VLAN 100, con7 in VLAN 200."""

    def __init__(self, lab, binaries):
        self.vms = {name: Vm(lab, name, mac, [f"{address}/24"]) for name, mac, address in VMS}
        self.node = Node(lab, "node1", binaries)
        self.node.configure(EXAMPLE / "node.toml", worker=0)
        for vm, tap in taps_of(EXAMPLE / "node.toml").items():
            self.node.carries(self.vms[vm], tap)
        self.node.start()

    def vm(self, name):
        """The namespace of a machine."""
        return self.vms[name].namespace


def _no_tag(network):
    """An access port gives the machine plain frames: no tag leaves, none is needed."""
    links = network.vm("con6").ip("neigh show 192.168.1.4").stdout
    expect("02:00:00:00:04:08" in links, f"con8's MAC is not known to con6: {links}")
    return "con8's MAC is known to con6"


CHECKS = (
    Check("con8 -> con6: one VLAN", lambda n: expect_ping(n.vm("con8"), "192.168.1.2", 64)),
    Check("con6 -> con8: one VLAN", lambda n: expect_ping(n.vm("con6"), "192.168.1.4", 64)),
    Check("frames have no tag at the machines", _no_tag),
    Check("con8 -> con7: two VLANs", lambda n: expect_no_ping(n.vm("con8"), "192.168.1.3")),
    Check("con7 -> con6: two VLANs", lambda n: expect_no_ping(n.vm("con7"), "192.168.1.2")),
)
