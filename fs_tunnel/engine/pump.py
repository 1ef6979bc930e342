# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The pump carries packets between the TUN, UDP and the packet path, without protocol decisions.

``Pump`` is the interface that the engine needs.  ``PythonPump`` runs on the engine's event loop,
and takes packets and datagrams in batches.  If a socket is full, it stops reading the TUN until
there is room, so that packets wait in the kernel's queue.
"""

import asyncio
import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fs_tunnel.dataplane.twin import Twin
from fs_tunnel.engine.udp import UdpSockets
from fs_tunnel.linux.routing.tun import Tun
from fs_tunnel.proto.path import Outgoing, PacketPath

log = logging.getLogger(__name__)

_BATCH = 128  # datagrams or packets in each turn
_MAX_PACKET = 65535
_UNSENT_LIMIT = 4096  # datagrams held while a socket buffer is full


@dataclass(frozen=True, slots=True)
class Hooks:
    """The calls of a pump to the engine."""

    work: Callable[[], None]  # the path has, or may have, events; the engine then calls ``send``
    check_link: Callable[[], None]  # the TUN seems to be up, down or gone
    not_sent: Callable[[Outgoing], None]  # a datagram was lost on its way out
    forget_local: Callable[[Outgoing], None]  # a datagram left, but from another address of ours


class Pump(Protocol):
    """Pumps while it is open; all of its methods belong to one event loop's thread."""

    @property
    def path(self) -> PacketPath: ...

    def start(self, hooks: Hooks) -> None:
        """Join the running loop; the engine calls this once, first."""

    def stop(self) -> None:
        """Leave the loop, so that the TUN can close; the engine calls this once, last."""

    def open(self, port: int, fwmark: int) -> int:
        """Bind UDP sockets (0: any port), and return their port; OSError if it is taken."""

    def close(self) -> None:
        """Close the sockets; waiting datagrams are lost."""

    def set_fwmark(self, fwmark: int) -> None:
        """Mark datagrams that leave from now on; 0 is no mark."""

    def send(self, datagrams: Sequence[Outgoing]) -> None:
        """Send all that the path has ready, then the control plane's ``datagrams``."""

    def drops(self) -> Mapping[str, int]:
        """The number of packets lost between path and kernel, by reason."""

    def describe(self) -> Mapping[str, Any]:
        """The form of the path (``form``), and the work that the kernel does for it."""


class PythonPump:
    """A ``Pump`` around the ``Twin``."""

    def __init__(self, tun: Tun, now: Callable[[], float]) -> None:
        self.path = Twin()
        self._tun = tun
        self._now = now
        self._udp: UdpSockets | None = None
        self._unsent: list[Outgoing] = []
        self._drops: Counter[str] = Counter()

    def start(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._tun.fileno(), self._tun_readable)

    def stop(self) -> None:
        self._loop.remove_reader(self._tun.fileno())

    def open(self, port: int, fwmark: int) -> int:
        self._udp = UdpSockets(port, fwmark)
        for sock in self._udp.sockets:
            self._loop.add_reader(sock, self._udp_readable, sock)
        return self._udp.port

    def close(self) -> None:
        if self._udp is None:
            return
        for sock in self._udp.sockets:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        self._udp.close()
        self._udp = None
        if self._unsent:
            self._unsent.clear()
            self._loop.add_reader(self._tun.fileno(), self._tun_readable)

    def set_fwmark(self, fwmark: int) -> None:
        if self._udp is not None:
            self._udp.set_fwmark(fwmark)

    def send(self, datagrams: Sequence[Outgoing]) -> None:
        self._deliver()
        self._send([*self.path.take_datagrams(), *datagrams])

    def drops(self) -> Counter[str]:
        return self._drops

    def describe(self) -> Mapping[str, Any]:
        return {"form": "python"}

    # Packets and datagrams that come in.

    def _udp_readable(self, sock: socket.socket) -> None:
        if self._udp is None:
            return
        now, receive = self._now(), self.path.receive_datagram
        for data, source, local in self._udp.receive_batch(sock, _BATCH):
            receive(data, source, local, now)
        self._hooks.work()

    def _tun_readable(self) -> None:
        if self._udp is None:
            self._hooks.check_link()  # a packet may arrive before the news that the link is up
        now, receive, fd = self._now(), self.path.receive_packet, self._tun.fileno()
        try:
            for _ in range(_BATCH):
                receive(os.read(fd, _MAX_PACKET), now)
        except BlockingIOError:
            pass
        except OSError as error:
            self._tun_failed(error)
        self._hooks.work()

    # Packets and datagrams that go out.

    def _deliver(self) -> None:
        fd = self._tun.fileno()
        for packet in self.path.take_packets():
            try:
                os.write(fd, packet)
            except BlockingIOError:
                self._drops["tun_full"] += 1
            except OSError as error:
                self._drops["tun_refused"] += 1
                if error.errno not in (errno.EINVAL, errno.ENOBUFS, errno.ENOMEM):
                    self._tun_failed(error)
                    break

    def _send(self, datagrams: list[Outgoing]) -> None:
        if not datagrams:
            return
        if self._udp is None:
            self._count_unsent(datagrams, "interface_down")
            return
        if self._unsent:
            self._hold_back(datagrams)
            return
        send = self._udp.send
        for position, outgoing in enumerate(datagrams):
            try:
                if not send(outgoing):
                    self._hooks.forget_local(outgoing)
            except BlockingIOError:
                self._hold_back(datagrams[position:])
                break
            except OSError as error:
                log.debug("sending: %s", error)
                self._count_unsent([outgoing], "send_failed")

    def _hold_back(self, datagrams: list[Outgoing]) -> None:
        """The socket buffer is full: stop reading the TUN until it drains."""
        assert self._udp is not None
        if not self._unsent and datagrams:
            self._loop.remove_reader(self._tun.fileno())
            sock = self._udp.socket_for(datagrams[0].endpoint)
            self._loop.add_writer(sock, self._resume_sending, sock)
        room = _UNSENT_LIMIT - len(self._unsent)
        self._unsent += datagrams[:room]
        self._count_unsent(datagrams[room:], "send_buffer_full")

    def _resume_sending(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        waiting, self._unsent = self._unsent, []
        self._send(waiting)
        if not self._unsent:
            self._loop.add_reader(self._tun.fileno(), self._tun_readable)

    def _count_unsent(self, datagrams: list[Outgoing], reason: str) -> None:
        self._drops[reason] += len(datagrams)
        for outgoing in datagrams:
            self._hooks.not_sent(outgoing)

    def _tun_failed(self, error: OSError) -> None:
        if error.errno != errno.EIO:  # EIO: the interface is down, which is no failure
            log.debug("the TUN: %s", error)
        self._hooks.check_link()
