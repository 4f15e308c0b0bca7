"""A laboratory of network namespaces: made by one `Lab`, removed by it whatever happens.

Everything a lab makes is recorded on a stack and taken down in reverse order: at the end of a
`with` block, on an error, on ctrl-C and on SIGTERM. Names of namespaces carry the run, so that two
labs on one machine do not meet, and `sweep` finds what a killed run left behind.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "sluice"
# Tells the labs of one process apart.
_NUMBERS = itertools.count(1)


class CommandFailed(AssertionError):
    """A command inside the lab ended with an error or did not end in time."""


def run(*argv, timeout=20, check=True, stdin=None):
    """Runs a command to its end; returns its CompletedProcess with text output."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout, input=stdin, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"{' '.join(argv)}: no end after {timeout} s") from late
    if check and done.returncode != 0:
        raise CommandFailed(
            f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip()
        )
    return done


def wait_for(what, condition, timeout=10, every=0.1):
    """Polls until `condition()` is true and returns its value; fails naming `what`."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise CommandFailed(f"{what}: not within {timeout} s")
        time.sleep(every)


class Namespace:
    """One network namespace and what runs in it."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.id = f"{PREFIX}-{lab.run_id}-{lab.number}-{name}"
        run("ip", "netns", "add", self.id)
        lab.undo(self._delete)
        self.ip("link set lo up")
        # Nodes and wires are not hosts: they must neither answer nor send router solicitations.
        # Linux answers one time exceeded a second to a host; the checks ask for more.
        self.sysctl("net.ipv4.icmp_ratelimit", 0)
        self.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        self.sysctl("net.ipv6.conf.default.disable_ipv6", 1)

    def _delete(self):
        kill_all_in(self.id)
        run("ip", "netns", "del", self.id, check=False)

    def argv(self, *argv):
        """The command line that runs `argv` in here."""
        return ["ip", "netns", "exec", self.id, *[str(word) for word in argv]]

    def run(self, *argv, **options):
        """Runs a command in here, see `run`."""
        return run(*self.argv(*argv), **options)

    def ip(self, words):
        """`ip <words>` in here."""
        return run("ip", "-n", self.id, *words.split())

    def bridge(self, words):
        """`bridge <words>` in here."""
        return run("bridge", "-n", self.id, *words.split())

    def sysctl(self, key, value):
        """Sets a sysctl in here."""
        self.run("sysctl", "-qw", f"{key}={value}")

    def start(self, *argv, log=None, env=None):
        """Starts a process in here that lives until the lab ends; returns its Popen."""
        return self.lab.start(*self.argv(*argv), log=log, env=env)

    def links(self):
        """Interface names in here."""
        return [link["ifname"] for link in json.loads(self.ip("-j link show").stdout)]

    def host(self, iface, mac=None, addresses=(), routes=(), mtu=None, offload=True):
        """Makes `iface` the host interface of this namespace.

        `routes` are pairs (prefix, next hop). `offload=False` lets the kernel finish checksums
        before a frame leaves, for veth ends whose other side a DPDK driver reads.
        """
        ipv6 = any(":" in address for address in addresses)
        for scope in ("all", "default"):
            self.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", 0 if ipv6 else 1)
        self.ip(f"link set {iface} down")
        if mac:
            self.ip(f"link set {iface} address {mac}")
        if mtu:
            self.ip(f"link set {iface} mtu {mtu}")
        if ipv6:
            # The same addresses on every run and at once: no detection, no router discovery.
            self.sysctl(f"net.ipv6.conf.{iface}.disable_ipv6", 0)
            self.sysctl(f"net.ipv6.conf.{iface}.accept_dad", 0)
            self.sysctl(f"net.ipv6.conf.{iface}.accept_ra", 0)
        if not offload:
            self.run("ethtool", "-K", iface, "tx", "off")
        self.ip(f"link set {iface} up")
        for address in addresses:
            self.ip(f"addr add {address} dev {iface}" + (" nodad" if ":" in address else ""))
        for prefix, next_hop in routes:
            self.ip(f"route replace {prefix} via {next_hop}")


class Wire:
    """An Ethernet segment: a Linux bridge in a namespace of its own."""

    def __init__(self, lab, name, mtu):
        self.lab = lab
        self.mtu = mtu
        self.namespace = lab.namespace(name)
        self.namespace.ip(f"link add br0 mtu {mtu} type bridge mcast_snooping 0")
        self.namespace.ip("link set br0 up")

    def attach(self, namespace, iface):
        """Plugs `namespace` in by an interface named `iface`; returns the name of the wire's end."""
        end = f"{namespace.name}-{iface}"[-15:]
        self.lab.veth(namespace, iface, self.namespace, end, mtu=self.mtu)
        self.namespace.ip(f"link set {end} master br0")
        return end

    def cut(self, end):
        """Takes the wire's end down: the other side loses carrier."""
        self.namespace.ip(f"link set {end} down")

    def mend(self, end):
        """Brings the wire's end up again."""
        self.namespace.ip(f"link set {end} up")


class Lab:
    """Owner of everything that one run makes on this machine."""

    def __init__(self, keep_files=False):
        self.run_id = os.environ.get("SLUICE_RUN", str(os.getpid()))
        self.number = next(_NUMBERS)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{self.run_id}-"))
        self.keep_files = keep_files
        self._stack = contextlib.ExitStack()
        self._processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Removes everything. A second ctrl-C does not interrupt it."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._stack.close()
            if not self.keep_files:
                shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)

    def undo(self, action, *arguments):
        """Runs `action` when the lab ends, before what was made earlier is undone."""
        self._stack.callback(action, *arguments)

    def keep(self):
        """Leaves everything in place when this process ends."""
        self._stack.pop_all()
        self.keep_files = True

    def namespace(self, name):
        """A new namespace."""
        return Namespace(self, name)

    def wire(self, name, mtu=9000):
        """A new Ethernet segment."""
        return Wire(self, name, mtu)

    def veth(self, left, left_iface, right, right_iface, mtu=1500):
        """A cable between two namespaces. Ends finish their checksums: DPDK drivers need that."""
        run(
            *f"ip link add {left_iface} mtu {mtu} netns {left.id} type veth".split(),
            *f"peer name {right_iface} mtu {mtu} netns {right.id}".split(),
        )
        for namespace, iface in ((left, left_iface), (right, right_iface)):
            namespace.run("ethtool", "-K", iface, "tx", "off")
            namespace.ip(f"link set {iface} up")

    def start(self, *argv, log=None, env=None):
        """Starts a process that lives until the lab ends; output goes to the file `log`."""
        sink = open(log, "ab") if log else subprocess.DEVNULL
        try:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        finally:
            if log:
                sink.close()
        self.undo(stop, process)
        return process


def stop(process, grace=5):
    """Ends a process that this run started: asks, waits, then kills. Returns its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(grace)
    return process.returncode


def kill_all_in(namespace_id):
    """Ends every process of a namespace that a lab made."""
    for attempt in (signal.SIGTERM, signal.SIGKILL):
        pids = run("ip", "netns", "pids", namespace_id, check=False).stdout.split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), attempt)
        end = time.monotonic() + 2
        while pids and time.monotonic() < end:
            pids = run("ip", "netns", "pids", namespace_id, check=False).stdout.split()
            time.sleep(0.05)
        if not pids:
            return


def leftovers(run_id=None):
    """Namespaces of a run, or with None those of runs whose process is gone."""
    found = []
    for line in run("ip", "netns", "list", check=False).stdout.splitlines():
        name = line.split()[0]
        owner = re.fullmatch(rf"{PREFIX}-(\w+)-.+", name)
        if not owner:
            continue
        if run_id is not None:
            if owner[1] == run_id:
                found.append(name)
        elif owner[1].isdigit() and not Path(f"/proc/{owner[1]}").exists():
            found.append(name)
    return found


def sweep(run_id=None):
    """Removes what a run left behind: its processes, namespaces and files; returns how many."""
    names = leftovers(run_id)
    for name in names:
        kill_all_in(name)
        run("ip", "netns", "del", name, check=False)
    if run_id is not None:
        for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}-{run_id}-*"):
            shutil.rmtree(directory, ignore_errors=True)
    return len(names)
