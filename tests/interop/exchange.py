# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Addresses and a TCP transfer that most tests of alice and bob use."""

import socket
import threading

from tests.netns.peers import Peer
from tools.testing import patience

ALICE_INSIDE = ("10.66.0.1/24", "fd66::1/64")
BOB_INSIDE = ("10.66.0.2/24", "fd66::2/64")


def transfer_tcp(client: Peer, server: Peer, address: str, data: bytes, *, port: int = 0) -> bytes:
    """Send ``data`` over TCP from the client's namespace and return what the server read.

    If ``port`` is 0, the kernel chooses one.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    received = bytearray()
    with (
        server.namespace.open_socket(family, socket.SOCK_STREAM) as listener,
        client.namespace.open_socket(family, socket.SOCK_STREAM) as sender,
    ):
        for each in (listener, sender):
            each.settimeout(patience.seconds(30.0))
        listener.bind((address, port))
        listener.listen()

        def read_all() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(patience.seconds(30.0))
                while chunk := connection.recv(1 << 16):
                    received.extend(chunk)

        reader = threading.Thread(target=read_all)
        reader.start()
        sender.connect((address, listener.getsockname()[1]))
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        reader.join(30.0)
        assert not reader.is_alive(), "the server did not see the end of the stream"
    return bytes(received)
