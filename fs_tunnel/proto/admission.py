# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which handshake messages may cost CPU, and the queue of those that may.

A handshake costs several scalar multiplications, and anyone can send a message that asks for one.
So messages wait in a queue while transport goes on.  A message enters the queue if its first MAC
proves that the sender knows our public key.  When the queue grows, the device is under load, and
a message must pass two more tests.  It returns a cookie, which proves that the sender owns its
address, and that address does not ask too often (WireGuard paper, section 5.3).
"""

from collections import Counter, deque
from typing import NamedTuple

from fs_tunnel.proto.constants import LOADED_ABOVE_QUEUED, LOADED_FOR, MAX_QUEUED_HANDSHAKES
from fs_tunnel.proto.cookie import CookieChecker
from fs_tunnel.proto.errors import AuthenticationFailed, MalformedMessage
from fs_tunnel.proto.handshake import Entropy
from fs_tunnel.proto.messages import (
    CookieReply,
    Initiation,
    Response,
    TransportHeader,
    parse_untrusted,
)
from fs_tunnel.proto.path import HandshakeReceived, LocalAddress, Outgoing
from fs_tunnel.proto.ratelimit import HandshakeRateLimiter
from fs_wire.types import Endpoint

_Message = Initiation | Response | CookieReply
_COOKIE_DEMANDED = "cookie_demanded"


class QueuedHandshake(NamedTuple):
    """A handshake message that waits for the CPU."""

    message: _Message
    source: Endpoint
    local: LocalAddress | None  # the address of ours that it came to


class Admission:
    """The queue of handshake messages of one device; times are seconds of its clock.

    A refused message is counted in ``drops`` by reason.
    """

    def __init__(self, entropy: Entropy, drops: Counter[str]) -> None:
        self._entropy = entropy
        self._drops = drops
        self._checker: CookieChecker | None = None
        self._queue: deque[QueuedHandshake] = deque()
        self._rate_limiter = HandshakeRateLimiter()
        self._loaded_until = float("-inf")

    def __len__(self) -> int:
        return len(self._queue)

    def set_public_key(self, public_key: bytes | None) -> None:
        """Admit messages for this key of ours, 32 bytes; admit none while it is None."""
        self._checker = CookieChecker(public_key, self._entropy) if public_key else None
        self.clear()

    def clear(self) -> None:
        """Forget the messages that wait."""
        self._queue.clear()

    def pop(self) -> QueuedHandshake:
        """Return the message that has waited longest, and forget it."""
        return self._queue.popleft()

    def note_loss(self, now: float) -> None:
        """Take note that the packet path had no room for a message: the device is under load."""
        self._loaded_until = now + LOADED_FOR

    def receive_untrusted(self, received: HandshakeReceived, now: float) -> Outgoing | None:
        """Queue a message, or drop it; return the cookie reply to send, if there is one."""
        data, source, local = received
        try:
            message = parse_untrusted(data)
        except MalformedMessage:
            self._drops["malformed"] += 1
            return None
        assert not isinstance(message, TransportHeader)
        if self._checker is None:
            self._drops["no_private_key"] += 1
            return None
        refusal = self._refusal(self._checker, message, received, now)
        if refusal is None:
            self._queue.append(QueuedHandshake(message, source, local))
            return None
        self._drops[refusal] += 1
        if refusal != _COOKIE_DEMANDED:
            return None
        return Outgoing(None, source, local, self._checker.create_reply(data, source, now))

    def _refusal(
        self, checker: CookieChecker, message: _Message, received: HandshakeReceived, now: float
    ) -> str | None:
        """Why a message is refused; None if it may enter the queue."""
        if not isinstance(message, CookieReply):
            try:
                checker.check_mac1(received.data)
            except AuthenticationFailed:
                return "bad_mac1"
            if self._is_loaded(now):
                try:
                    checker.check_mac2(received.data, received.source, now)
                except AuthenticationFailed:
                    return _COOKIE_DEMANDED
                if not self._rate_limiter.allow(received.source, now):
                    return "rate_limited"
        return "handshake_queue_full" if len(self._queue) >= MAX_QUEUED_HANDSHAKES else None

    def _is_loaded(self, now: float) -> bool:
        if len(self._queue) >= LOADED_ABOVE_QUEUED:
            self._loaded_until = now + LOADED_FOR
        return now < self._loaded_until
