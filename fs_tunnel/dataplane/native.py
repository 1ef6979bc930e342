# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The packet path in C, in the shape of ``proto.path.PacketPath``.

This module translates between the types of ``proto.path`` and the plain tuples of the extension; it
decides nothing.  To import it raises ImportError if the extension was not built.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fs_tunnel.dataplane import _native, offload
from fs_tunnel.proto.path import (
    Activity,
    BecameActive,
    Counters,
    CreditLow,
    EndpointMoved,
    HandshakeReceived,
    HandshakesLost,
    HandshakeWanted,
    Limits,
    LocalAddress,
    Outgoing,
    PacketWaits,
    PathEvent,
    PathKeys,
    SessionConfirmed,
)
from fs_wire.types import Endpoint, IPNetwork

if TYPE_CHECKING:
    from fs_tunnel.dataplane._native import RawEndpoint, RawEvent

AEAD = _native.AEAD  # the library that seals and opens: ipsec-mb or libcrypto

_Path = tuple[Endpoint | None, LocalAddress | None]
_NO_LOCAL = (b"", 0)
_CACHED = 65536  # endpoints whose other form is remembered


class NativePath:
    """Implements ``PacketPath``, which describes the methods that have no text here.

    The tables and the threads that work with them are in C.
    """

    def __init__(self, clock_scale: float = 1.0) -> None:
        """``clock_scale`` is how many seconds of the device's clock pass in a real second.

        The threads read CLOCK_BOOTTIME.  Raise OSError if the system lacks resources.
        """
        path = self._path = _native.Path(clock_scale)
        self.fileno = path.fileno  # this file is readable while an event waits
        self.add_peer = path.add_peer
        self.remove_peer = path.remove_peer
        self.forget_local = path.forget_local
        self.use_keys = path.use_keys
        self.remove_keys = path.remove_keys
        self.set_up = path.set_up
        self.set_mtu = path.set_mtu
        self.seal = path.seal
        self.not_sent = path.not_sent
        self.watch = path.watch
        self.note_sent = path.note_sent
        self.note_received = path.note_received
        self.rearm = path.rearm
        self.take_received_more = path.take_received_more
        self.stop = path.stop
        self.sends_refused_whole = path.sends_refused_whole

    def start(self, files: Sequence[tuple[int, int, int]], *, udp_frames: bool) -> None:
        """Start one thread for each item of ``files``.

        An item has three file descriptors: a queue of the TUN, a UDP socket for IPv4 and one for
        IPv6; -1 stands for no socket.  The files must stay open until ``stop``.  ``udp_frames``
        says that the kernel takes UDP segmentation offload from a TUN.

        Raise OSError if a thread cannot be started.
        """
        self._path.start(list(files), udp_frames)

    def endpoint(self, peer: int) -> _Path:
        raw = self._path.endpoint(peer)
        return (None, None) if raw is None else _known(raw)

    def set_endpoint(
        self, peer: int, endpoint: Endpoint | None, local: LocalAddress | None
    ) -> None:
        self._path.set_endpoint(peer, None if endpoint is None else _raw(endpoint, local))

    def set_limits(self, peer: int, limits: Limits) -> None:
        address, port = limits.exempt or (b"", 0)
        self._path.set_limits(
            peer,
            limits.rx_rate,
            limits.tx_rate,
            limits.credit,
            limits.credit_low,
            address,
            port,
        )

    def counters(self, peer: int) -> Counters:
        return Counters(*self._path.counters(peer))

    def add_keys(self, peer: int, keys: PathKeys, *, confirmed: bool) -> None:
        self._path.add_keys(peer, *keys, confirmed)

    def allow(self, network: IPNetwork, peer: int) -> None:
        self._path.allow(network.network_address.packed, network.prefixlen, peer)

    def disallow(self, network: IPNetwork) -> None:
        self._path.disallow(network.network_address.packed, network.prefixlen)

    def activity(self, peer: int) -> Activity:
        return Activity(*self._path.activity(peer))

    def take_events(self, handshakes: int) -> Sequence[PathEvent]:
        return [_MAKERS[raw[0]](raw) for raw in self._path.take_events(handshakes)]

    def drops(self) -> Mapping[str, int]:
        return {name.lower(): count for name, count in self._path.drops().items()}

    # For tests: these methods do by hand what the threads do.

    def receive_frame(self, frame: bytes, now: float) -> None:
        """Send a frame from the TUN: a virtio_net_hdr and a packet."""
        self._path.receive_frame(frame, now)

    def receive_packet(self, packet: bytes, now: float) -> None:
        """Send a packet from the TUN."""
        self._path.receive_frame(offload.PLAIN + packet, now)

    def receive_datagram(
        self,
        data: bytes,
        source: Endpoint,
        local: LocalAddress | None,
        now: float,
        *,
        segment: int = 0,
    ) -> None:
        """Receive a datagram from UDP, or several of ``segment`` bytes that came as one."""
        self._path.receive_datagrams(data, segment, _raw(source, local), now)

    def take_datagrams(self) -> list[Outgoing]:
        """Return the datagrams to send, in order, and forget them."""
        return [
            Outgoing(peer, *_known(raw), data[start : start + segment])
            for peer, raw, segment, data in self._path.take_datagrams()
            for start in range(0, len(data), segment)
        ]

    def take_frames(self) -> list[bytes]:
        """Return the frames for the TUN, each with a virtio_net_hdr, and forget them."""
        return self._path.take_frames()


@lru_cache(_CACHED)
def _known(raw: "RawEndpoint") -> tuple[Endpoint, LocalAddress | None]:
    packed, port, scope_id, local, interface = raw
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    endpoint = Endpoint(socket.inet_ntop(family, packed), port, scope_id)
    return endpoint, LocalAddress(local, interface) if local else None


@lru_cache(_CACHED)
def _raw(endpoint: Endpoint, local: LocalAddress | None) -> "RawEndpoint":
    family = socket.AF_INET6 if ":" in endpoint.ip else socket.AF_INET
    packed = socket.inet_pton(family, endpoint.ip)
    return packed, endpoint.port, endpoint.scope_id, *(local or _NO_LOCAL)


def _handshake(raw: "RawEvent") -> PathEvent:
    assert raw[4] is not None
    return HandshakeReceived(raw[3], *_known(raw[4]))


# In the order of ``enum event_kind`` in native/events.h.
_MAKERS: tuple[Callable[["RawEvent"], PathEvent], ...] = (
    _handshake,
    lambda raw: PacketWaits(raw[1], raw[3]),
    lambda raw: HandshakeWanted(raw[1]),
    lambda raw: SessionConfirmed(raw[1], raw[2]),
    lambda raw: BecameActive(raw[1]),
    lambda raw: EndpointMoved(raw[1]),
    lambda raw: CreditLow(raw[1]),
    lambda _: HandshakesLost(),
)
