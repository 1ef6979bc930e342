"""Whether a TUN is up, down or gone, wherever it is.

Netlink tells at once of a change in our own network namespace; a TUN that was moved to another one
is only seen by asking the device itself.
"""

import errno
import os
import socket
from enum import Enum

from fs_tunnel.linux.tun import Tun

_RTMGRP_LINK = 1
_MAX_NETLINK_MESSAGE = 65536


class LinkState(Enum):
    UP = "up"
    DOWN = "down"
    GONE = "gone"


class LinkWatch:
    """``fileno`` is readable when some link changed; ``state`` then tells of ours."""

    def __init__(self, tun: Tun) -> None:
        self._tun = tun
        self._netlink = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            socket.NETLINK_ROUTE,
        )
        self._netlink.bind((0, _RTMGRP_LINK))

    def fileno(self) -> int:
        return self._netlink.fileno()

    def close(self) -> None:
        self._netlink.close()

    def state(self) -> LinkState:
        """Drain what netlink told, and ask the device.

        A write of nothing is refused by the driver with EIO while the interface is down, with
        EINVAL, as too short, while it is up, and with EBADFD once it is deleted.
        """
        self._drain()
        try:
            os.write(self._tun.fileno(), b"")
        except OSError as error:
            if error.errno == errno.EIO:
                return LinkState.DOWN
            if error.errno == errno.EBADFD:
                return LinkState.GONE
        return LinkState.UP

    def _drain(self) -> None:
        try:
            while self._netlink.recv(_MAX_NETLINK_MESSAGE):
                pass
        except OSError:
            pass  # empty, or overrun: the device is asked either way
