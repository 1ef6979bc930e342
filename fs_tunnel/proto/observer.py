"""Where a device's own socket is seen from outside: STUN, asked from that very socket.

A NAT may give every socket another address, so only the tunnel's own says where peers can reach it.
Only a server that was asked is believed, once, and only with the transaction it was asked in.
"""

from collections.abc import Callable, Sequence

from fs_tunnel.proto.path import Outgoing
from fs_wire import stun
from fs_wire.errors import Malformed, UsageError
from fs_wire.types import Endpoint

MAX_SERVERS = 4  # in one question
_RATE, _BURST = 2.0, 16.0  # requests a second
_PATIENCE = 5.0  # s for an answer


class Observer:
    """Asks, and knows what was asked."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._asked: dict[bytes, tuple[Endpoint, float]] = {}  # by transaction; oldest first
        self._tokens, self._counted = _BURST, 0.0

    def ask(self, servers: Sequence[Endpoint], now: float) -> list[Outgoing]:
        """Requests to these; UsageError where there were many of late."""
        self._tokens = min(_BURST, self._tokens + (now - self._counted) * _RATE)
        self._counted = now
        if self._tokens < len(servers):
            raise UsageError("servers were asked often of late; wait a second")
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
        """Server, and where it sees us; None where nobody asked for this answer."""
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
