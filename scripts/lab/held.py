"""TCP streams that are held open over what happens to the network, and asked whether they still are."""

from pathlib import Path

import probes
from netns import wait_for

SCRIPT = Path(__file__).with_name("streams.py")


def serve(namespace, port):
    """A server to which streams can be held open."""
    namespace.start(probes.PYTHON, SCRIPT, "serve", port)
    probes.wait_listening(namespace, port)


class Held:
    """Streams from one namespace that are held open."""

    def __init__(self, namespace, address, port, count):
        name = f"held-{namespace.name}-{address}-{port}"
        self.directory = namespace.lab.directory / name
        self.directory.mkdir()
        self.asked = 0
        namespace.start(probes.PYTHON, SCRIPT, "hold", address, port, count, self.directory)
        self.open = self._read("open")

    def _read(self, name):
        path = self.directory / name
        wait_for(f"{path}", path.exists, timeout=30)
        return int(path.read_text())

    def alive(self):
        """How many answer."""
        (self.directory / f"ask-{self.asked}").touch()
        self.asked += 1
        return self._read(f"alive-{self.asked - 1}")
