# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Hole punching: both sides call each other until one call gets through both NATs.

A call sends one and the same initiation to every endpoint at which the peer may be seen.  Each copy
opens our own NAT towards that endpoint.  The other side does the same, so that soon a copy finds
both NATs open.  The endpoint that answers is the peer's from then on.

The caller has learned the endpoints before; ``observer`` finds out those of our own side.
"""

from collections.abc import Sequence
from typing import Protocol

from fs_tunnel.proto.constants import CALL_ANSWERED_FOR, MIN_CALL_INTERVAL
from fs_tunnel.proto.path import Outgoing
from fs_wire.types import Endpoint


class Callee(Protocol):
    """What a call needs of a peer; times are seconds of the device's clock."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where datagrams for the peer go."""

    def set_endpoint(self, endpoint: Endpoint) -> None:
        """Send to ``endpoint`` until the peer is heard from elsewhere."""

    def session_age(self, now: float) -> float:
        """Seconds since the latest handshake was completed; infinite if there is no session."""

    def since_initiation(self, now: float) -> float:
        """Seconds since the latest initiation or response was sent; infinite if none was."""

    def initiate_handshake(self, now: float, *, is_retry: bool = False) -> Outgoing | None:
        """Send an initiation and return it; None if none can be sent."""

    def send_handshake_message(self, outgoing: Outgoing) -> None:
        """Send a datagram that holds a handshake message, and count it."""


def call(peer: Callee, endpoints: Sequence[Endpoint], now: float) -> bool:
    """Send an initiation to all ``endpoints`` at once; return True if the peer has answered.

    Nothing is sent if a session is fresh, or within MIN_CALL_INTERVAL of the latest initiation.
    A session that is older than CALL_ANSWERED_FOR stays, but it is no answer: the path that it was
    made over may be gone.
    """
    if peer.session_age(now) < CALL_ANSWERED_FOR:
        return True
    if peer.since_initiation(now) < MIN_CALL_INTERVAL:
        return False
    if peer.endpoint is None:
        peer.set_endpoint(endpoints[0])
    initiation = peer.initiate_handshake(now, is_retry=True)
    if initiation is not None:
        for endpoint in endpoints:
            if endpoint != initiation.endpoint:
                peer.send_handshake_message(initiation._replace(endpoint=endpoint, local=None))
    return False
