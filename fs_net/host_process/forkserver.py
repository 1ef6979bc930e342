"""Starts network processes for an agent that gave up root and can no longer read its own program.

Start it as root: ``python -m fs_net.host_process.forkserver FD UID GID PARENT``. The program may be
in a folder that only root can read. So the fork server first imports everything, and then gives up
root. From then on, each descriptor that arrives over the socket FD becomes a network process. Its
pid and pidfd go back. The fork server and its children end with the socket or with the process
PARENT.
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
            network_process.main(descriptors[0])
            return
        watched = os.pidfd_open(child)
        socket.send_fds(end, [child.to_bytes(_PID, "big")], [watched])
        for each in (watched, *descriptors):
            os.close(each)


def main() -> None:
    """Run the fork server."""
    descriptor, uid, gid, parent = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become(uid, gid, parent)
    serve(socket.socket(fileno=descriptor))


if __name__ == "__main__":
    main()
