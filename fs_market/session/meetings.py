"""Hole punching arranged over the session's protocol, which may itself go through a relay.

What a NAT does, and when to call, is not the market's: ``Meet`` does it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fs_market.core.session.rendezvous import (
    Meeting,
    Rendezvous,
    sign_meeting,
    verify_rendezvous_untrusted,
)
from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import Refusal, parse_untrusted, serialize
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError, Reason, Refused
from fs_market.ports import Route
from fs_market.session.stream import Stream, connect
from fs_wire.types import Endpoint, PublicKey

log = logging.getLogger(__name__)

_ANSWER_WITHIN = 15.0  # seconds; the other side asks servers first
_CLOCKS_DIFFER_BY = 120.0  # seconds at most
_NOT_AGAIN_WITHIN = 5.0  # seconds, for one session
MAX_MEETINGS = 64  # under way, of all sessions


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a tunnel's socket is seen, and what its NAT does."""

    endpoints: tuple[Endpoint, ...]
    mapping: int


# Finds out where we are, begins to call a peer where it is, and says the former.
Meet = Callable[[PublicKey, Whereabouts], Awaitable[Whereabouts]]


class Meetings:
    """A provider's side: it answers clients whom it serves."""

    def __init__(self, domain: Domain, node_key: SigningKey, meet: Meet) -> None:
        self._domain, self._node_key, self._meet = domain, node_key, meet
        self._latest: dict[bytes, int] = {}  # channel: sequence
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def hear_untrusted(
        self, said: Rendezvous, session_key: Address, peer: PublicKey, stream: Stream
    ) -> None:
        """Answer in a while; Refused where it is not the client's, too early, or a replay."""
        channel, sequence = said.channel, said.meeting.sequence
        if channel in self._tasks or len(self._tasks) >= MAX_MEETINGS:
            raise Refused(Reason.RATE_LIMITED, "a meeting is under way; wait for its answer")
        latest = self._latest.get(channel, 0)
        if sequence <= latest or abs(sequence - _unix_ms()) > 1000 * _CLOCKS_DIFFER_BY:
            raise Refused(Reason.REPLAYED, "a meeting was asked for before; set the clock")
        if sequence - latest < 1000 * _NOT_AGAIN_WITHIN:
            raise Refused(Reason.RATE_LIMITED, "meetings are asked for too often; wait")
        verify_rendezvous_untrusted(said, self._domain, session_key)
        self._latest[channel] = sequence
        theirs = Whereabouts(said.meeting.endpoints, said.meeting.mapping)
        task = self._tasks[channel] = asyncio.create_task(
            self._answer(channel, peer, theirs, stream)
        )
        task.add_done_callback(lambda _: self._tasks.pop(channel, None))

    def forget(self, channel: bytes) -> None:
        """Its session is over."""
        self._latest.pop(channel, None)

    async def _answer(
        self, channel: bytes, peer: PublicKey, theirs: Whereabouts, stream: Stream
    ) -> None:
        try:
            ours = await self._meet(peer, theirs)
        except (OSError, TimeoutError) as error:
            log.warning("no meeting: %s", error)
            return
        stream.send([serialize(_signed(self._node_key, self._domain, channel, ours))])


async def ask_to_meet(
    route: Route,
    domain: Domain,
    session_key: SigningKey,
    node: Address,
    channel: bytes,
    ours: Whereabouts,
) -> Whereabouts:
    """Where the provider can be called, as of now; MarketError where it does not say."""
    asked = _signed(session_key, domain, channel, ours)
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            stream = await connect(route)
            try:
                stream.send([serialize(asked)])
                (message, *_) = map(parse_untrusted, await stream.receive(_ANSWER_WITHIN))
            finally:
                stream.abort()
    except (OSError, TimeoutError) as error:
        raise MarketError(
            f"the provider at {route} does not say where it can be called "
            f"({error or 'no answer'}); choose another"
        ) from None
    if isinstance(message, Refusal):
        raise MarketError(f"the provider refuses to meet: {message.reason.text}; choose another")
    if not isinstance(message, Rendezvous) or message.channel != channel:
        raise MarketError("the provider does not say where it can be called; choose another")
    verify_rendezvous_untrusted(message, domain, node)
    return Whereabouts(message.meeting.endpoints, message.meeting.mapping)


def _signed(key: SigningKey, domain: Domain, channel: bytes, here: Whereabouts) -> Rendezvous:
    return sign_meeting(key, domain, Meeting(channel, _unix_ms(), here.endpoints, here.mapping))


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
