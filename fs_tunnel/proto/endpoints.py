# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Where one peer is, and the retry that goes in turns to the two places where it may be.

The packet path moves the endpoint of a peer to wherever an authentic message came from (roaming;
WireGuard paper, section 2.1).  That is not always the best place.  Anyone between the two sides can
forward one authentic packet and so become the endpoint.  If this happened to both sides and the one
in between then left, neither side would ever reach the other again.  So every retry of a handshake
changes over to the other place: from the endpoint heard last to the configured endpoint, and back.
"""

from fs_tunnel.proto.path import LocalAddress, PacketPath
from fs_wire.types import Endpoint


class PeerEndpoints:
    """The endpoints of one peer: the current one, which the packet path has, and the other one."""

    __slots__ = ("_path", "_peer", "_configured", "_heard")

    def __init__(self, path: PacketPath, peer: int) -> None:
        self._path = path
        self._peer = peer
        self._configured: Endpoint | None = None
        self._heard: Endpoint | None = None  # the place that the latest change left

    @property
    def current(self) -> Endpoint | None:
        """Where datagrams for the peer go; None if the peer was neither configured nor heard."""
        return self._path.endpoint(self._peer)[0]

    def configure(self, endpoint: Endpoint) -> None:
        """Send to ``endpoint`` until the peer is heard from elsewhere."""
        self._path.set_endpoint(self._peer, endpoint, None)
        self._configured, self._heard = endpoint, None

    def follow(self, source: Endpoint, local: LocalAddress | None) -> bool:
        """Send to ``source``, from ``local``, after an authentic message; return if this moves."""
        moves = source != self.current
        self._path.set_endpoint(self._peer, source, local)
        return moves

    def leave_from_any_address(self) -> None:
        """Let the kernel choose our address: the one that the peer spoke to may be gone."""
        self._path.forget_local(self._peer)

    def alternate(self) -> None:
        """Try the other place next, and leave from any address of ours."""
        self.leave_from_any_address()
        endpoint = self.current
        if self._configured is None:
            return
        if endpoint != self._configured:
            self._heard, endpoint = endpoint, self._configured
        elif self._heard is not None:
            endpoint = self._heard
        self._path.set_endpoint(self._peer, endpoint, None)
