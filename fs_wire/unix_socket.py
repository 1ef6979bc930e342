# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Listening UNIX sockets that only their owner can open, and the user of a connection."""

import asyncio
import os
import socket
import struct
from pathlib import Path

from fs_wire.errors import SystemChangeError

_UCRED = struct.Struct("3i")  # pid, uid, gid


def listen_privately(path: Path) -> socket.socket:
    """Make a listening socket of mode 0600 at ``path``; it replaces a file that is there.

    Raise SystemChangeError if that fails; a path may have at most about 100 bytes.
    """
    # The socket gets its name after it listens, because wg deletes sockets that refuse connections.
    unnamed = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    umask = os.umask(0o077)
    try:
        unnamed.unlink(missing_ok=True)
        listener.bind(str(unnamed))
        listener.listen()
        unnamed.rename(path)
    except OSError as error:
        listener.close()
        raise SystemChangeError(
            f"cannot make the socket {path}: {error.strerror or error}; check its directory"
        ) from None
    finally:
        os.umask(umask)
    return listener


def is_ours_or_roots(writer: asyncio.StreamWriter) -> bool:
    """Whether our own user or root is at the other end of a connection, and may command us.

    The socket's mode ensures the same, but somebody could change the mode.
    """
    return peer_uid(writer) in (0, os.geteuid())


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """Return the user at the other end of a connection.  Source: unix(7), SO_PEERCRED."""
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return int(uid)
