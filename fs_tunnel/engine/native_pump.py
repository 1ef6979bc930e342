# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The pump of the native packet path: it starts and stops threads, which do the rest.

Events of the path come through an eventfd.  This module sends the control plane's datagrams.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fs_tunnel.dataplane.native import AEAD, NativePath
from fs_tunnel.engine.pump import Hooks
from fs_tunnel.engine.udp import UdpSockets
from fs_tunnel.linux.routing.tun import Tun
from fs_tunnel.proto.path import Outgoing

log = logging.getLogger(__name__)


class NativePump:
    """A ``Pump`` with a thread for each queue of the TUN, and UDP sockets for each thread."""

    def __init__(self, tun: Tun, clock_scale: float) -> None:
        self.path = NativePath(clock_scale)
        self._tun = tun
        self._offloads = tun.enable_offloads()
        self._joins_datagrams = False
        self._sockets: list[UdpSockets] = []
        self._drops: Counter[str] = Counter()

    def start(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.path.fileno(), hooks.work)

    def stop(self) -> None:
        self._loop.remove_reader(self.path.fileno())

    def open(self, port: int, fwmark: int) -> int:
        first = UdpSockets(port, fwmark)
        self._sockets = [first]
        try:
            for _ in self._tun.queues[1:]:
                self._sockets.append(UdpSockets(port, fwmark, shared_with=first))
            joins = [each.join_datagrams() for each in self._sockets]
            self._joins_datagrams = all(joins)
            files = zip(self._tun.queues, self._sockets, strict=True)
            self.path.start(
                [(queue, *sockets.files()) for queue, sockets in files],
                udp_frames=self._offloads.udp,
            )
        except OSError:
            self.close()
            raise
        return first.port

    def close(self) -> None:
        self.path.stop()
        for each in self._sockets:
            each.close()
        self._sockets = []

    def set_fwmark(self, fwmark: int) -> None:
        for each in self._sockets:
            each.set_fwmark(fwmark)

    def send(self, datagrams: Sequence[Outgoing]) -> None:
        if not self._sockets:
            self._lose(datagrams, "interface_down")
            return
        send = self._sockets[0].send
        for outgoing in datagrams:
            try:
                if not send(outgoing):
                    self._hooks.forget_local(outgoing)
            except BlockingIOError:
                # The protocol repeats a handshake, and any network loses packets.
                self._lose([outgoing], "send_buffer_full")
            except OSError as error:
                log.debug("sending: %s", error)
                self._lose([outgoing], "send_failed")

    def drops(self) -> Counter[str]:
        return self._drops

    def describe(self) -> Mapping[str, Any]:
        return {
            "form": "native",
            "aead": AEAD,
            "threads": len(self._tun.queues),
            "tun_offload": self._offloads._asdict(),
            "udp_gro": self._joins_datagrams,
            "gso_refused": self.path.sends_refused_whole(),
        }

    def _lose(self, datagrams: Sequence[Outgoing], reason: str) -> None:
        self._drops[reason] += len(datagrams)
        for outgoing in datagrams:
            self._hooks.not_sent(outgoing)
