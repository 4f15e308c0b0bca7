"""Foreign second nodes of a VXLAN network: the Linux kernel, and Open vSwitch in user space."""

from netns import CommandFailed, run, wait_for

OVS_PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class KernelVxlan:
    """A node made of a kernel bridge and a kernel VXLAN device that learns MACs."""

    def __init__(self, lab, name, wire, address, remote, vni, port=4789):
        self.namespace = lab.namespace(name)
        self.lab = lab
        self.end = wire.attach(self.namespace, "eth0")
        self.namespace.ip(f"addr add {address} dev eth0")
        local = address.partition("/")[0]
        self.namespace.ip(
            f"link add vx0 type vxlan id {vni} local {local} remote {remote} dstport {port}"
        )
        self.namespace.ip("link add br0 type bridge mcast_snooping 0")
        for iface in ("vx0", "br0"):
            self.namespace.ip(f"link set {iface} up")
        self.namespace.ip("link set vx0 master br0")

    def plug(self, vm):
        """Gives the machine a network card on this node's bridge."""
        self.lab.veth(vm.namespace, "eth0", self.namespace, vm.name)
        self.namespace.ip(f"link set {vm.name} master br0")
        vm.namespace.host(
            "eth0", vm.mac, addresses=vm.addresses, routes=vm.routes, mtu=vm.mtu, offload=False
        )


class OvsNode:
    """A node that runs an Open vSwitch of its own: user space datapath, private directories."""

    def __init__(self, lab, name, wire, address):
        self.lab = lab
        self.name = name
        self.namespace = lab.namespace(name)
        self.directory = lab.directory / f"ovs-{name}"
        self.directory.mkdir()
        self.log = self.directory / "ovs.log"
        self.database = f"unix:{self.directory}/db.sock"
        self.environment = {
            "OVS_RUNDIR": str(self.directory),
            "OVS_LOGDIR": str(self.directory),
            "OVS_DBDIR": str(self.directory),
        }
        self.end = wire.attach(self.namespace, "eth0")
        self._start()
        # Tunnels of the user space datapath leave by a bridge that has the underlay's address.
        self.vsctl("add-br br-phy -- set bridge br-phy datapath_type=netdev fail_mode=standalone")
        self.vsctl("add-port br-phy eth0")
        self.namespace.ip(f"addr add {address} dev br-phy")
        self.vsctl("set interface br-phy mtu_request=9000")
        self.namespace.ip("link set br-phy up")

    def _start(self):
        conf = self.directory / "conf.db"
        run("ovsdb-tool", "create", conf, OVS_SCHEMA)
        self.namespace.start(
            *("ovsdb-server", conf, f"--remote=p{self.database}", "--no-chdir"),
            *(f"--unixctl={self.directory}/ovsdb.ctl", "-vconsole:warn"),
            log=self.log,
            env=self.environment,
        )
        wait_for(f"{self.name}: ovsdb-server", (self.directory / "db.sock").exists)
        self.vsctl("--no-wait init")
        self.daemon = self.namespace.start(
            *("ovs-vswitchd", self.database, "--no-chdir", "-vconsole:warn"),
            f"--unixctl={self.directory}/vswitchd.ctl",
            log=self.log,
            env=self.environment,
        )
        wait_for(f"{self.name}: ovs-vswitchd", (self.directory / "vswitchd.ctl").exists)

    def vsctl(self, words):
        """`ovs-vsctl <words>` on this node's database."""
        argv = ["ovs-vsctl", f"--db={self.database}", "--timeout=15", *words.split()]
        try:
            return self.namespace.run(*argv)
        except CommandFailed as failure:
            log = self.log.read_text(errors="replace")[-2000:]
            raise CommandFailed(f"{failure}\n{log}") from failure

    def appctl(self, words):
        """`ovs-appctl <words>` on this node's switch."""
        return run("ovs-appctl", "-t", self.directory / "vswitchd.ctl", *words.split()).stdout

    def add_bridge(self, bridge):
        """A bridge of the user space datapath that learns MACs."""
        self.vsctl(f"add-br {bridge} -- set bridge {bridge} datapath_type=netdev")

    def add_tunnel(self, bridge, kind, local, remote, key):
        """A tunnel port on the bridge; `kind` is vxlan or geneve."""
        self.vsctl(
            f"add-port {bridge} tun-{bridge} -- set interface tun-{bridge} type={kind}"
            f" options:remote_ip={remote} options:local_ip={local} options:key={key}"
        )

    def plug(self, vm, bridge, tag=None):
        """Gives the machine a network card on the bridge, in an access VLAN if `tag` is given."""
        self.lab.veth(vm.namespace, "eth0", self.namespace, vm.name)
        self.vsctl(f"add-port {bridge} {vm.name}" + (f" tag={tag}" if tag else ""))
        vm.namespace.host(
            "eth0", vm.mac, addresses=vm.addresses, routes=vm.routes, mtu=vm.mtu, offload=False
        )
