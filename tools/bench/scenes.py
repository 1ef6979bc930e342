"""Two namespaces and the wire between them, in one of two offload modes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.netns.topology import Namespace, Pair, pair

# A veth passes frames of 64 KiB on as they are, which flatters whoever makes them. In `gro` they
# are cut where they enter the wire, as before a plain network card, and joined where they leave.
OFFLOADS = {
    "on": (),
    "gro": ("tso", "off", "tx-udp-segmentation", "off", "gro", "on"),
}
MEANINGS = {
    "on": "the veth as it is made: segments travel joined",
    "gro": "cut on sending, joined on receiving, as between real network cards",
}


@contextlib.contextmanager
def wired(offload: str) -> Iterator[Pair]:
    """Alice and bob, for one measurement."""
    with pair() as net:
        if OFFLOADS[offload]:
            for end in (net.alice, net.bob):
                end.run("ethtool", "-K", "wire", *OFFLOADS[offload])
        yield net


def listens(namespace: Namespace, port: int) -> bool:
    """Whether somebody waits for TCP connections there."""
    with namespace.entered():
        sockets = Path("/proc/thread-self/net/tcp6").read_text()
        sockets += Path("/proc/thread-self/net/tcp").read_text()
    return f":{port:04X} " in sockets
