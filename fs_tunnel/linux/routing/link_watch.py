# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Watch whether a TUN is up, down or gone, in any network namespace.

Netlink reports a change in our own network namespace at once.  If the TUN was moved to another
namespace, we can only ask the device itself.
"""

import select
import socket
from enum import Enum

from fs_tunnel.linux.routing.tun import Tun

_RTMGRP_LINK = 1
_MAX_NETLINK_MESSAGE = 65536


class LinkState(Enum):
    UP = "up"
    DOWN = "down"
    GONE = "gone"


class LinkWatch:
    """``fileno`` is readable when some link changed; ``state`` then returns ours."""

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
        """Drain the messages of netlink, and ask the device.

        The driver calls a TUN writable while its interface is up, and in error once it is deleted,
        in whatever namespace (drivers/net/tun.c, tun_chr_poll).
        """
        self._drain()
        poll = select.poll()
        poll.register(self._tun.fileno(), select.POLLOUT)
        events = poll.poll(0)
        if not events:
            return LinkState.DOWN
        return LinkState.GONE if events[0][1] & select.POLLERR else LinkState.UP

    def _drain(self) -> None:
        try:
            while self._netlink.recv(_MAX_NETLINK_MESSAGE):
                pass
        except OSError:
            pass  # empty, or overrun: we ask the device in any case
