# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Arranges hole punching over the session's protocol, which may itself go through a relay.

This module does not know NATs: ``Meet`` finds out about them, and calls the peer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import Refusal, serialize
from fs_market.core.wire.rendezvous import (
    Meeting,
    Rendezvous,
    sign_meeting,
    verify_rendezvous_untrusted,
)
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError, Reason, Refused
from fs_market.ports import Route
from fs_market.session.stream import Stream, ask_untrusted
from fs_wire.patience import patient
from fs_wire.types import Endpoint, PublicKey

log = logging.getLogger(__name__)

_ANSWER_WITHIN = patient(15.0)  # seconds; the other side first asks STUN servers
_CLOCKS_DIFFER_BY = 120.0  # seconds at most
_NOT_AGAIN_WITHIN = 5.0  # seconds between two meetings of one session
MAX_MEETINGS = 64  # meetings of all sessions at the same time


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The addresses under which others see a tunnel's socket, and the behaviour of its NAT."""

    endpoints: tuple[Endpoint, ...]
    mapping: int


# Finds out our own whereabouts, begins to call a peer at its whereabouts, and returns ours.
Meet = Callable[[PublicKey, Whereabouts], Awaitable[Whereabouts]]


class Meetings:
    """The provider's side: it answers the clients that it serves."""

    def __init__(self, domain: Domain, node_key: SigningKey, meet: Meet) -> None:
        self._domain, self._node_key, self._meet = domain, node_key, meet
        self._latest: dict[bytes, int] = {}  # channel: sequence
        self._tasks: dict[bytes, asyncio.Task[None]] = {}

    def hear_untrusted(
        self, said: Rendezvous, session_key: Address, peer: PublicKey, stream: Stream
    ) -> None:
        """Begin to answer a request to meet.

        Raise Refused if the client did not sign it, if it is a replay, or if it comes too early.
        """
        channel, sequence = said.channel, said.meeting.sequence
        if channel in self._tasks or len(self._tasks) >= MAX_MEETINGS:
            raise Refused(Reason.RATE_LIMITED, "a meeting is under way; wait for its answer")
        latest = self._latest.get(channel, 0)
        if sequence <= latest or abs(sequence - _unix_ms()) > 1000 * _CLOCKS_DIFFER_BY:
            raise Refused(Reason.REPLAYED, "this request to meet was seen before; set the clock")
        if sequence - latest < 1000 * _NOT_AGAIN_WITHIN:
            raise Refused(Reason.RATE_LIMITED, "requests to meet come too often; wait")
        verify_rendezvous_untrusted(said, self._domain, session_key)
        self._latest[channel] = sequence
        theirs = Whereabouts(said.meeting.endpoints, said.meeting.mapping)
        task = self._tasks[channel] = asyncio.create_task(
            self._answer(channel, peer, theirs, stream)
        )
        task.add_done_callback(lambda _: self._tasks.pop(channel, None))

    def forget(self, channel: bytes) -> None:
        """Forget a channel whose session is over."""
        self._latest.pop(channel, None)

    async def _answer(
        self, channel: bytes, peer: PublicKey, theirs: Whereabouts, stream: Stream
    ) -> None:
        try:
            ours = await self._meet(peer, theirs)
        except (OSError, TimeoutError) as error:
            log.warning("a meeting failed: %s", error)
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
    """Tell the provider our whereabouts, and return the provider's.

    ``node`` is the address of its node key.  Raise MarketError if the provider does not tell its
    whereabouts, and Refused if it did not sign them.
    """
    asked = _signed(session_key, domain, channel, ours)
    try:
        message = await ask_untrusted(route, asked, _ANSWER_WITHIN)
    except (OSError, TimeoutError) as error:
        raise MarketError(
            f"the provider at {route} does not tell an address for hole punching "
            f"({error or 'no answer'}); choose another provider"
        ) from None
    if isinstance(message, Refusal):
        raise MarketError(
            f"the provider refuses to meet: {message.reason.text}; choose another provider"
        )
    if not isinstance(message, Rendezvous) or message.channel != channel:
        raise MarketError(
            "the provider does not tell an address for hole punching; choose another provider"
        )
    verify_rendezvous_untrusted(message, domain, node)
    return Whereabouts(message.meeting.endpoints, message.meeting.mapping)


def _signed(key: SigningKey, domain: Domain, channel: bytes, here: Whereabouts) -> Rendezvous:
    return sign_meeting(key, domain, Meeting(channel, _unix_ms(), here.endpoints, here.mapping))


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
