"""The demo: N1 in namespaces, every check of it, a picture, a trace and a transfer.

    demo.py [--keep] [--binary-dir DIR]
"""

import argparse
import os
import signal
import sys

import n1
import netns
import probes
from checks import Check, Report, expect
from node import Binaries


def transfer(network):
    """A TCP transfer from vm1 to the outside through SNAT."""
    seen = probes.iperf(network.vm("vm1"), n1.OUTSIDE, seconds=5)
    expect(seen.mbit_per_second > 1, f"{seen.mbit_per_second:.1f} Mbit/s")
    expect(min(seen.seconds) > 0, "the transfer stood still for a second")
    return f"{seen.mbit_per_second:.0f} Mbit/s, {seen.retransmits} retransmits"


def traced(network):
    """The walk of one packet, as the operator's command tells it."""
    words = f"--port vm1 --dst {n1.INTERNET} --proto icmp".split()
    text = network.nodes["node2"].trace(*words)
    print("\n      node2$ sluicectl trace", " ".join(words))
    for line in text.rstrip().splitlines():
        print(f"      {line}")
    print(flush=True)
    for word in ("ls1", "router1", "node1"):
        expect(word in text, f"the trace does not name {word}")
    return "named: ls1, router1, node1"


def how_to_go_on(lab, network):
    """What to try in a demo that was left up."""
    at = lambda namespace: f"ip netns exec {namespace.id}"
    node = network.nodes["node1"]
    ctl = f"{node.binaries.sluicectl} --socket {node.socket}"
    return f"""
The network is still up. As root, try:
  {at(network.vm("vm1"))} ping {n1.INTERNET}
  {at(network.vm("vm1"))} mtr -n -r -c 1 {n1.INTERNET}
  {at(network.vm("vm2"))} curl http://{n1.OUTSIDE}:8000/
  {at(network.outside)} tcpdump -nei eth0
  {ctl} show connections
  {ctl} show routers
  {ctl} show drops
  {ctl.replace("node1", "node2")} trace --port vm1 --dst {n1.INTERNET} --proto icmp
The topology is {network.topology}, a node's own file {node.config},
its log {node.log}. Edit, then tell each node: sluicectl ... reload.
Remove it all:
  /usr/bin/python3 {os.path.dirname(os.path.abspath(__file__))}/sweep.py {lab.run_id}
"""


def main():
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--keep", action="store_true", help="leave the network up at the end")
    parser.add_argument("--binary-dir", help="where sluiced and sluicectl are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    binaries = Binaries(options.binary_dir)
    if binaries.missing():
        sys.exit(binaries.missing())
    netns.sweep()
    if options.keep:
        # A name that the next run does not take for a leftover.
        os.environ["SLUICE_RUN"] = f"keep{os.getpid()}"
    with netns.Lab() as lab:
        report.step("N1: three nodes, four VMs, one gateway to the outside")
        try:
            network = n1.N1(lab, binaries, progress=lambda text: report.step(f"starting {text}"))
        except netns.CommandFailed as failure:
            report.failed += 1
            print(f"{report.paint('FAIL', '1;31')}  the network comes up\n{failure}")
            print(report.total())
            return 1
        print(n1.PICTURE, flush=True)
        for check in n1.CHECKS:
            report.run(check, network)
        report.run(Check("trace of a packet vm1 -> 8.8.8.8", traced), network)
        report.run(Check("TCP transfer vm1 -> outside, SNAT", transfer), network)
        if report.failed:
            for node in network.nodes.values():
                print(node.tail())
        if options.keep:
            print(how_to_go_on(lab, network))
            lab.keep()
        else:
            report.step("removing the network")
    print(report.paint(report.total(), "1;31" if report.failed else "1;32"), flush=True)
    return 1 if report.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; everything was removed")
