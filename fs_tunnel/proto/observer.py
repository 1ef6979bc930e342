# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Finds out where the tunnel's own socket is seen from outside, by STUN (RFC 8489).

A NAT may give every socket another address.  So the questions leave from the tunnel's own socket:
the answer then says where peers can reach it.  An answer is believed once, and only if it names
the transaction of the question and comes from the server that was asked.
"""

from collections.abc import Callable, Sequence

from fs_tunnel.proto.path import Outgoing
from fs_wire import stun
from fs_wire.errors import Malformed, UsageError
from fs_wire.types import Endpoint

MAX_SERVERS = 4  # that one command may ask
_RATE, _BURST = 2.0, 16.0  # requests a second; requests at once
_PATIENCE = 5.0  # seconds to wait for an answer


class Observer:
    """Asks STUN servers, and checks answers against the questions; times are in seconds."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        """``entropy`` returns as many random bytes as it is asked for."""
        self._entropy = entropy
        self._asked: dict[bytes, tuple[Endpoint, float]] = {}  # by transaction; oldest first
        self._tokens, self._counted = _BURST, 0.0

    def ask(self, servers: Sequence[Endpoint], now: float) -> list[Outgoing]:
        """Return a request to each server; raise UsageError if there were too many lately."""
        self._tokens = min(_BURST, self._tokens + (now - self._counted) * _RATE)
        self._counted = now
        if self._tokens < len(servers):
            raise UsageError("STUN servers were asked too often; wait a second")
        self._tokens -= len(servers)
        self._forget(now)
        requests = []
        for server in servers:
            transaction = self._entropy(stun.TRANSACTION_LEN)
            self._asked[transaction] = server, now + _PATIENCE
            requests.append(Outgoing(None, server, None, stun.request(transaction)))
        return requests

    def receive_untrusted(
        self, data: bytes, source: Endpoint, now: float
    ) -> tuple[Endpoint, Endpoint] | None:
        """Return the server, and where it sees us; None if this answers no question of ours."""
        self._forget(now)
        try:
            transaction, seen = stun.parse_answer_untrusted(data)
        except Malformed:
            return None
        asked = self._asked.get(transaction)
        if asked is None or asked[0] != source:
            return None
        del self._asked[transaction]
        return source, seen

    def _forget(self, now: float) -> None:
        while self._asked:
            transaction = next(iter(self._asked))
            if self._asked[transaction][1] > now:
                break
            del self._asked[transaction]
