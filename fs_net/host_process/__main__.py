# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Start as ``python -m fs_net.host_process FD``; FD is one end of a socketpair.

The settings come as the first frame, because local users can read arguments.
"""

import contextlib
import logging
import os
import resource
import signal
import socket
import sys

import trio

from fs_net.bridge import Kind, Settings, pack
from fs_net.host_process.link import Link
from fs_net.host_process.network_peer import NetworkPeer
from fs_wire.failure import describe

_GRACE = 3.0  # s to close everything, because libp2p may hang


async def run(descriptor: int) -> None:
    """Serve the program until it closes the socket; tell it what else ends this process."""
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
    link = Link(stream)
    first = await link.receive()
    if first is None:
        return
    settings = Settings.from_value(first[2])
    resource.setrlimit(resource.RLIMIT_DATA, (settings.max_memory, settings.max_memory))
    try:
        node = NetworkPeer(settings, link)
        async with node.running():
            await stream.send_all(pack(Kind.TELL, "ready", [await node.info()]))
            await link.serve(node.methods)
            node.remember()
            signal.alarm(int(_GRACE))  # its default action ends the process
    except Exception as error:
        with contextlib.suppress(trio.BrokenResourceError, trio.BusyResourceError):
            await stream.send_all(pack(Kind.TELL, "failed", [describe(error)]))
        raise


def main(descriptor: int) -> None:
    """Run the process with this end of a socketpair."""
    os.umask(0o077)
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)  # otherwise strangers fill the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which closes us
    trio.run(run, descriptor)


if __name__ == "__main__":
    main(int(sys.argv[1]))
