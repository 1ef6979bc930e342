"""Starts network processes for an agent that gave up root, and may no longer read its own program.

Start as ``python -m fs_net.host_process.forkserver FD UID GID PARENT``: as root, whose programs may
lie where nobody else can read.  All is imported, root is given up, and from then on each descriptor
that comes over the socket FD becomes a network process, whose pid and pidfd go back.  It ends with
its socket or its parent, and they with it.
"""

import os
import signal
import socket
import sys

from fs_net.host_process import __main__ as network_process
from fs_wire import libc
from fs_wire.unprivileged import become

_PID = 4  # bytes


def serve(end: socket.socket) -> None:
    """Fork for whoever holds the other end, until it is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits: pidfds tell of ends
    while True:
        asked, descriptors, *_ = socket.recv_fds(end, 1, 1)
        if not asked:
            return
        child = os.fork()
        if child == 0:
            end.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            network_process.main(descriptors[0])
            return
        watched = os.pidfd_open(child)
        socket.send_fds(end, [child.to_bytes(_PID, "big")], [watched])
        for each in (watched, *descriptors):
            os.close(each)


def main() -> None:
    """The process's life."""
    descriptor, uid, gid, parent = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become(uid, gid, parent)
    serve(socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main()
