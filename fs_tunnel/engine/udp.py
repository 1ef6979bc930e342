# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The UDP sockets of an engine: one per address family, on one port.

Answers leave from the address that the datagram came to ("sticky source"), so a host with several
addresses is reachable at each of them.  We take datagrams in batches until the kernel has none.
"""

import errno
import logging
import socket
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from fs_tunnel.proto.path import LocalAddress, Outgoing
from fs_wire.errors import SystemChangeError
from fs_wire.types import Endpoint

log = logging.getLogger(__name__)

# From linux/in.h, in6.h and socket.h; the socket module lacks them.
_IP_PKTINFO = 8
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_DONT = 0
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_MARK = 36
_SOL_UDP = 17
_UDP_GRO = 104

_in_pktinfo = Struct("=i4s4s")  # interface index, our address, the header's destination
_in6_pktinfo = Struct("=16si")

_BUFFER_BYTES = 7 << 20  # the size of wireguard-go: a burst must survive a busy moment
_MAX_DATAGRAM = 65535
_ANCILLARY_BYTES = socket.CMSG_SPACE(_in6_pktinfo.size)
_MAX_CACHED_PATHS = 65536

# The cached source address is gone, or no route leads from it.
_SOURCE_IS_GONE = frozenset({errno.EINVAL, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENODEV})

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Ancillary = list[tuple[int, int, bytes]]


class Received(NamedTuple):
    """One datagram, its source, and the address of ours that it was sent to."""

    data: bytes
    source: Endpoint
    local: LocalAddress | None


class UdpSockets:
    """Bound sockets; both families share ``port``."""

    def __init__(
        self, port: int, fwmark: int = 0, *, shared_with: "UdpSockets | None" = None
    ) -> None:
        """Bind ``port`` (0: any) on all addresses; OSError EADDRINUSE if it is taken.

        ``shared_with``: sockets that hold the port already; the kernel spreads remote addresses
        over them and the new ones.
        """
        if shared_with is None:
            self._v4, self._v6 = _bind_pair(port)
        else:
            self._v4, self._v6 = shared_with.bind_again()
        self.port: int = self._v4.getsockname()[1]
        self._sources: dict[tuple[object, ...], tuple[Endpoint, LocalAddress | None]] = {}
        self._routes: dict[
            tuple[Endpoint, LocalAddress | None], tuple[socket.socket, SocketAddress, Ancillary]
        ] = {}
        self.set_fwmark(fwmark)

    @property
    def sockets(self) -> list[socket.socket]:
        return [self._v4] if self._v6 is None else [self._v4, self._v6]

    def bind_again(self) -> tuple[socket.socket, socket.socket | None]:
        """Bind as many sockets more to our port.

        We bound the first ones without SO_REUSEPORT, so that a taken port was an error.
        """
        for each in self.sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        v4 = _bind(socket.AF_INET, self.port, shared=True)
        if self._v6 is None:
            return v4, None
        try:
            return v4, _bind(socket.AF_INET6, self.port, shared=True)
        except OSError:
            v4.close()
            raise

    def join_datagrams(self) -> bool:
        """Let the kernel join consecutive datagrams of one source; False if it cannot."""
        try:
            for each in self.sockets:
                each.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        except OSError:
            return False
        return True

    def files(self) -> tuple[int, int]:
        """File numbers of the v4 and the v6 socket; -1 for none."""
        return self._v4.fileno(), -1 if self._v6 is None else self._v6.fileno()

    def set_fwmark(self, fwmark: int) -> None:
        """Mark outgoing datagrams, so that routing rules can tell them apart; 0 is no mark."""
        for each in self.sockets:
            each.setsockopt(socket.SOL_SOCKET, _SO_MARK, fwmark)

    def close(self) -> None:
        for each in self.sockets:
            each.close()

    def receive_batch(self, sock: socket.socket, limit: int) -> Iterator[Received]:
        """Yield at most ``limit`` datagrams that wait in ``sock``."""
        receive, known = sock.recvmsg, self._sources.get
        for _ in range(limit):
            try:
                data, ancillary, _, address = receive(_MAX_DATAGRAM, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError as error:  # a queued ICMP error of an earlier send
                log.debug("receiving: %s", error)
                return
            key = (address, ancillary[0][2] if ancillary else None)
            path = known(key) or self._remember_source(key, address, ancillary)
            yield Received(data, *path)

    def send(self, outgoing: Outgoing) -> bool:
        """Send one datagram; False if its local address is gone, so that it left from another.

        BlockingIOError if the socket's buffer is full; OSError if the kernel refuses.
        """
        route = self._routes.get((outgoing.endpoint, outgoing.local))
        if route is None:
            route = self._remember_route(outgoing.endpoint, outgoing.local)
        sock, address, ancillary = route
        try:
            if ancillary:
                sock.sendmsg((outgoing.data,), ancillary, 0, address)
            else:
                sock.sendto(outgoing.data, address)
        except OSError as error:
            if not ancillary or error.errno not in _SOURCE_IS_GONE:
                raise
            self.send(outgoing._replace(local=None))
            return False
        return True

    def socket_for(self, endpoint: Endpoint) -> socket.socket:
        """The socket that reaches ``endpoint``; OSError EAFNOSUPPORT without IPv6."""
        if ":" not in endpoint.ip:
            return self._v4
        if self._v6 is None:
            raise OSError(errno.EAFNOSUPPORT, "this host has no IPv6")
        return self._v6

    def _remember_source(
        self, key: tuple[object, ...], address: SocketAddress, ancillary: Ancillary
    ) -> tuple[Endpoint, LocalAddress | None]:
        if len(self._sources) >= _MAX_CACHED_PATHS:
            self._sources.clear()
        scope_id = address[3] if len(address) == 4 else 0
        path = Endpoint(address[0].partition("%")[0], address[1], scope_id), _local(ancillary)
        self._sources[key] = path
        return path

    def _remember_route(
        self, endpoint: Endpoint, local: LocalAddress | None
    ) -> tuple[socket.socket, SocketAddress, Ancillary]:
        if len(self._routes) >= _MAX_CACHED_PATHS:
            self._routes.clear()
        sock = self.socket_for(endpoint)
        address: SocketAddress
        ancillary: Ancillary = []
        if sock is self._v4:
            address = (endpoint.ip, endpoint.port)
            if local is not None:
                info = _in_pktinfo.pack(local.interface_index, local.packed, bytes(4))
                ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
        else:
            address = (endpoint.ip, endpoint.port, 0, endpoint.scope_id)
            if local is not None:
                info = _in6_pktinfo.pack(local.packed, local.interface_index)
                ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
        self._routes[(endpoint, local)] = sock, address, ancillary
        return sock, address, ancillary


def check_port_is_free(port: int) -> None:
    """Raise OSError EADDRINUSE at once, before the interface comes up."""
    for each in _bind_pair(port):
        if each is not None:
            each.close()


def _local(ancillary: Ancillary) -> LocalAddress | None:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            index, ours, _ = _in_pktinfo.unpack(data)
            return LocalAddress(ours, index)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            ours, index = _in6_pktinfo.unpack(data)
            return LocalAddress(ours, index)
    return None


def _bind_pair(port: int) -> tuple[socket.socket, socket.socket | None]:
    """Bind both families to one port; with port 0, retry until both get the same."""
    for attempt in range(100):
        v4 = _bind(socket.AF_INET, port)
        try:
            return v4, _bind(socket.AF_INET6, v4.getsockname()[1])
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return v4, None  # a kernel without IPv6
            v4.close()
            if port or error.errno != errno.EADDRINUSE or attempt == 99:
                raise
    raise SystemChangeError("no UDP port is free in both families; set ListenPort")


def _bind(family: socket.AddressFamily, port: int, *, shared: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            except PermissionError:  # We are not the host's root: the default buffer must do.
                log.debug("socket buffers stay at their default size")
        # Like the kernel's WireGuard: the outer packet may be fragmented on the way.
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)
        sock.bind(("", port))
    except OSError:
        sock.close()
        raise
    return sock
