"""A node: a namespace in which `sluiced` runs, and the machines plugged into it."""

import json
import os
import re
import shutil
import time
import tomllib
from pathlib import Path

import toml_text
from netns import CommandFailed, run, stop, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs"


class Binaries:
    """Where `sluiced` and `sluicectl` are."""

    def __init__(self, directory=None):
        target = os.environ.get("CARGO_TARGET_DIR", str(REPOSITORY / "target"))
        self.directory = Path(directory or os.environ.get("SLUICE_BIN") or f"{target}/release")
        self.sluiced = self.directory / "sluiced"
        self.sluicectl = self.directory / "sluicectl"

    def missing(self):
        """Why nothing can run, or None."""
        for binary in (self.sluiced, self.sluicectl):
            if not os.access(binary, os.X_OK):
                return f"{binary} is not built: cargo build --release"
        return None


class Vm:
    """A virtual machine: a namespace whose network card is a tap of a node's daemon."""

    def __init__(self, lab, name, mac, addresses, routes=(), mtu=None):
        self.namespace = lab.namespace(name)
        self.name = name
        self.mac = mac
        self.addresses = addresses
        self.routes = routes
        self.mtu = mtu

    def plug(self, node, tap):
        """Takes the tap that `node`'s daemon made and sets it up as this machine's eth0."""
        wait_for(f"{node.name}: the tap {tap}", lambda: tap in node.namespace.links(), timeout=15)
        run(
            *f"ip -n {node.namespace.id} link set {tap} down netns".split(),
            *f"{self.namespace.id} name eth0".split(),
        )
        self.namespace.host(
            "eth0", mac=self.mac, addresses=self.addresses, routes=self.routes, mtu=self.mtu
        )

    def run(self, *argv, **options):
        """Runs a command in the machine."""
        return self.namespace.run(*argv, **options)


class Node:
    """A namespace with network cards, in which one `sluiced` runs."""

    def __init__(self, lab, name, binaries):
        self.lab = lab
        self.name = name
        self.binaries = binaries
        self.namespace = lab.namespace(name)
        self.directory = lab.directory / name
        self.directory.mkdir()
        self.config = self.directory / "node.toml"
        self.log = self.directory / "sluiced.log"
        self.socket = self.directory / "control.sock"
        self.process = None
        self._vms = []

    def configure(self, node_file, worker, topology=None, change=None):
        """Writes this node's file after `node_file`, with a socket and a CPU of the lab's own.

        `topology` is a path that replaces the one in the file; `change` may edit the dictionary.
        """
        node_file = Path(node_file)
        document = tomllib.loads(node_file.read_text())
        document["topology"] = str(topology or node_file.parent / document["topology"])
        document["control"] = {"socket": str(self.socket)}
        dataplane = document.setdefault("dataplane", {})
        dataplane["workers"] = [worker % (os.cpu_count() or 1)]
        dataplane.setdefault("connections", 65536)
        if change:
            change(document)
        self.config.write_text(toml_text.dumps(document))

    def carries(self, vm, tap):
        """Says that the machine's network card is this node's tap."""
        self._vms.append((vm, tap))

    def start(self, timeout=30):
        """Starts the daemon, waits until it answers, and plugs the machines in."""
        argv = [self.binaries.sluiced, "--config", self.config]
        with open(self.log, "ab") as log:
            log.write(f"--- start of {self.name}\n".encode())
        self.process = self.namespace.start(*argv, log=self.log)
        try:
            wait_for(f"{self.name}: sluiced answering", self._answers, timeout)
            for vm, tap in self._vms:
                vm.plug(self, tap)
        except CommandFailed as failure:
            raise CommandFailed(f"{failure}\n{self.tail()}") from failure

    def _answers(self):
        if self.process.poll() is not None:
            raise CommandFailed(f"{self.name}: sluiced ended with {self.process.returncode}")
        if not self.socket.exists():
            return False
        return self.ctl("show", "version", check=False).returncode == 0

    def alive(self):
        """Whether the daemon runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Ends the daemon as a crash would, without a chance to clean up."""
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """Ends the daemon as an operator would; returns its exit code."""
        return stop(self.process)

    def ctl(self, *words, check=True, timeout=20):
        """`sluicectl <words>` on this node."""
        argv = [self.binaries.sluicectl, "--socket", self.socket, *words]
        return run(*argv, check=check, timeout=timeout)

    def show(self, *words):
        """`sluicectl show <words> --json`, read."""
        return json.loads(self.ctl("show", *words, "--json").stdout)

    def trace(self, *words):
        """`sluicectl trace <words>` as text."""
        return self.ctl("trace", *words).stdout

    def tail(self, lines=25):
        """The last lines of the daemon's log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        last = text.splitlines()[-lines:]
        return "\n".join([f"--- {self.name}: {self.log}", *last])

    def save_log(self, directory):
        """Copies the log where it outlives the lab."""
        if self.log.exists():
            Path(directory).mkdir(parents=True, exist_ok=True)
            shutil.copy(self.log, Path(directory) / f"{self.name}.log")

    def cpu_seconds(self):
        """Processor time the daemon has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, seconds):
        """Share of one processor that the daemon uses during `seconds`."""
        before, begin = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - begin)


def taps_of(node_file):
    """Interface name of each tap in a node file, by the logical port bound to it."""
    document = tomllib.loads(Path(node_file).read_text())
    taps = {}
    for interface in document["interface"].values():
        iface = re.fullmatch(r"net_tap\d+,(?:.*,)?iface=([^,]+).*", interface["device"])
        if iface and "iface_id" in interface:
            taps[interface["iface_id"]] = iface[1]
    return taps
