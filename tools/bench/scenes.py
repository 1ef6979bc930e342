# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two namespaces and the wire between them, in one of two offload modes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.netns.topology import Namespace, Pair, pair

# A veth passes frames of 64 KiB on as they are, which flatters programs that make them. In `gro`,
# they are cut when they enter the wire, as before a plain network card, and joined when they leave.
OFFLOADS = {
    "on": (),
    "gro": ("tso", "off", "tx-udp-segmentation", "off", "gro", "on"),
}
MEANINGS = {
    "on": "the veth as it is created: segments travel joined",
    "gro": "segments are cut on sending and joined on receiving, as between real network cards",
}


@contextlib.contextmanager
def wired(offload: str) -> Iterator[Pair]:
    """Make alice and bob for one measurement."""
    with pair() as net:
        if OFFLOADS[offload]:
            for end in (net.alice, net.bob):
                end.run("ethtool", "-K", "wire", *OFFLOADS[offload])
        yield net


def listens(namespace: Namespace, port: int) -> bool:
    """Whether a program waits for TCP connections there."""
    with namespace.entered():
        sockets = Path("/proc/thread-self/net/tcp6").read_text()
        sockets += Path("/proc/thread-self/net/tcp").read_text()
    return f":{port:04X} " in sockets
