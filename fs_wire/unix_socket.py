"""Listening UNIX sockets that only their owner can open, and who is at the other end."""

import asyncio
import os
import socket
import struct
from pathlib import Path

from fs_wire.errors import SystemChangeError

_UCRED = struct.Struct("3i")  # pid, uid, gid


def listen_privately(path: Path) -> socket.socket:
    """Make a socket of mode 0600 at ``path``, in place of what is there.

    SystemChangeError where it cannot be made; a path holds at most about 100 bytes.
    """
    # It gets its name once it listens: wg deletes sockets that refuse connections.
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
            f"the socket {path} cannot be made: {error.strerror or error}; check its directory"
        ) from None
    finally:
        os.umask(umask)
    return listener


def is_ours_or_roots(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end of a connection may command us.

    The socket's mode says so already; it is asked again, for a mode can be changed.
    """
    return peer_uid(writer) in (0, os.geteuid())


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """The user at the other end of a connection: unix(7), SO_PEERCRED."""
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return int(uid)
