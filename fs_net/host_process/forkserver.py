# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Starts network processes for an agent that gave up root and can no longer read its own program.

Start it as root: ``python -m fs_net.host_process.forkserver FD UID GID PARENT``. The program may be
in a folder that only root can read. So the fork server first imports everything, and then gives up
root. From then on, each descriptor that arrives over the socket FD becomes a network process. Its
pid and pidfd go back. The fork server and its children end with the socket or with the process
PARENT. If it cannot start, it says why over the socket.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable

from fs_wire import libc
from fs_wire.failure import describe
from fs_wire.unprivileged import become

_PID = 4  # bytes
# What libp2p and its libraries import when they first need it.
_LATE = (
    "Crypto.IO.PEM",  # a peer's RSA key
    "Crypto.IO.PKCS8",
    "anyio._backends._trio",
    "dns._trio_backend",  # a multiaddr with a name
    "dns.rdtypes.ANY.*",
    "dns.rdtypes.IN.*",
    "idna.uts46data",
    "libp2p.network.health.*",
    "libp2p.utils.connection_shutdown",
    "multiaddr.codecs.*",  # a multiaddr's part, each when it first comes
)


def serve(end: socket.socket, network_process: Callable[[int], None]) -> None:
    """Start a process for each request on the socket, until the other end closes it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no wait() is needed: pidfds report the end
    while True:
        asked, descriptors, *_ = socket.recv_fds(end, 1, 1)
        if not asked:
            return
        child = os.fork()
        if child == 0:
            end.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            network_process(descriptors[0])
            return
        watched = os.pidfd_open(child)
        socket.send_fds(end, [child.to_bytes(_PID, "big")], [watched])
        for each in (watched, *descriptors):
            os.close(each)


def main() -> None:
    """Run the fork server."""
    descriptor, uid, gid, parent = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=descriptor)
    try:
        # Here, so that it is told if libp2p is missing.
        from fs_net.host_process.__main__ import main as network_process  # noqa: PLC0415

        become(uid, gid, parent, *_LATE)
    except Exception as error:
        end.send(describe(error).encode())
        raise
    serve(end, network_process)


if __name__ == "__main__":
    main()
