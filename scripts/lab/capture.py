"""Packets on a wire: captured by tcpdump, decoded by tshark.

Capture at an end of the wire: the bridge itself sees only what it floods.
"""

import re
import time

from netns import run, stop, wait_for


class Capture:
    """A capture on one interface, from construction until `stop`.

    `direction` is tcpdump's: at an end of a wire `in` is what the machine plugged in there sends.
    """

    def __init__(self, namespace, iface, expression="", name=None, direction="inout"):
        self.namespace = namespace
        self.file = namespace.lab.directory / f"{name or namespace.name + '-' + iface}.pcap"
        self.file.unlink(missing_ok=True)
        log = self.file.with_suffix(".log")
        log.unlink(missing_ok=True)
        self._process = namespace.start(
            *("tcpdump", "-i", iface, "-n", "--immediate-mode", "-U", "-s", "0", "-Q", direction),
            *("-w", self.file, *expression.split()),
            log=log,
        )
        wait_for("tcpdump", lambda: log.exists() and "listening on" in log.read_text())

    def stop(self, settle=0.3):
        """Ends the capture once the last packets have had time to be written."""
        time.sleep(settle)
        stop(self._process)
        return self

    def lines(self, expression=""):
        """One line of tcpdump per packet, with Ethernet addresses."""
        argv = ["tcpdump", "-n", "-e", "-t", "-r", str(self.file), *expression.split()]
        return run(*argv).stdout.splitlines()

    def fields(self, display_filter, *names, options=()):
        """Values of tshark's fields `names`, one tuple for each packet that the filter takes."""
        argv = ["tshark", "-n", "-r", self.file, "-Y", display_filter, "-T", "fields"]
        argv += ["-E", "occurrence=f", *options]
        for name in names:
            argv += ["-e", name]
        text = run(*argv, timeout=60).stdout
        return [tuple(line.split("\t")) for line in text.splitlines() if line.strip()]

    def frames(self, expression=""):
        """Raw bytes of each packet, from the Ethernet header on."""
        text = run("tcpdump", "-n", "-t", "-xx", "-r", self.file, *expression.split()).stdout
        return parse_hex(text)


def parse_hex(text):
    """Reads tcpdump's -xx output into bytes, one object per packet."""
    frames = []
    for line in text.splitlines():
        row = re.match(r"\s+0x([0-9a-f]+):\s+([0-9a-f ]+)$", line)
        if not row:
            continue
        if int(row[1], 16) == 0:
            frames.append(b"")
        frames[-1] += bytes.fromhex(row[2].replace(" ", ""))
    return frames
