"""Listening UNIX sockets that only their owner can open."""

import os
import socket
from pathlib import Path

from fs_tunnel.errors import SystemChangeError


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
