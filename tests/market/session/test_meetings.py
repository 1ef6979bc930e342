# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client asks its provider to meet, over real sockets; the NATs are simulated."""

import asyncio
import time
from pathlib import Path

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.wire.messages import Refusal, parse_untrusted, serialize
from fs_market.core.wire.rendezvous import Meeting, Rendezvous, sign_meeting
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError, Reason
from fs_market.session import meetings, session_book
from fs_market.session.meetings import Whereabouts, ask_to_meet
from fs_market.session.stream import connect
from fs_wire.types import Endpoint, PublicKey
from tests.market.dealing import CLIENT_KEY, DOMAIN, NODE, Client, Provider, bought, provider

OURS = Whereabouts((Endpoint("203.0.113.1", 40000),), 1)
THEIRS = Whereabouts((Endpoint("203.0.113.2", 51820),), 2)


class Played:
    """Remembers whom it was asked to meet."""

    def __init__(self) -> None:
        self.met: list[tuple[PublicKey, Whereabouts]] = []
        self.wait = asyncio.Event()
        self.wait.set()

    async def meet(self, peer: PublicKey, theirs: Whereabouts) -> Whereabouts:
        self.met.append((peer, theirs))
        await self.wait.wait()
        return THEIRS


async def channel_of(buyer: Client) -> bytes:
    (entry,) = await buyer.books.do(session_book.latest_first)
    return entry.channel


async def answer_to(seller: Provider, *said: Rendezvous) -> Reason | Whereabouts:
    """Return the provider's answer to the last of these messages."""
    stream = await connect(seller.route)
    try:
        for each in said:
            stream.send([serialize(each)])
            (message, *_) = map(parse_untrusted, await stream.receive(10))
    finally:
        await stream.close()
    if isinstance(message, Refusal):
        return message.reason
    assert isinstance(message, Rendezvous)
    return Whereabouts(message.meeting.endpoints, message.meeting.mapping)


def meeting(channel: bytes, seconds: float = 0.0, where: Whereabouts = OURS) -> Meeting:
    sequence = int((time.time() + seconds) * 1000)
    return Meeting(channel, sequence, where.endpoints, where.mapping)


def test_a_client_and_its_provider_learn_where_the_other_is(tmp_path: Path) -> None:
    async def play() -> None:
        key, played = SigningKey(PrivateKey().secret), Played()
        async with (
            provider(tmp_path, meet=played.meet) as seller,
            bought(tmp_path, seller, session_key=key) as buyer,
        ):
            channel = await channel_of(buyer)
            asked = ask_to_meet(seller.route, DOMAIN, key, NODE.address, channel, OURS)
            assert await asked == THEIRS
            assert played.met == [(CLIENT_KEY, OURS)]

    uvloop.run(play())


def test_a_provider_that_is_another_is_not_believed(tmp_path: Path) -> None:
    async def play() -> None:
        key, played = SigningKey(PrivateKey().secret), Played()
        async with (
            provider(tmp_path, meet=played.meet) as seller,
            bought(tmp_path, seller, session_key=key) as buyer,
        ):
            channel = await channel_of(buyer)
            with pytest.raises(MarketError):
                await ask_to_meet(seller.route, DOMAIN, key, key.address, channel, OURS)

    uvloop.run(play())


def test_only_its_client_has_a_provider_call(tmp_path: Path) -> None:
    """A relay repeats what it saw, and a stranger sends his own; the provider meets neither."""

    async def play() -> None:
        key, eve, played = (
            SigningKey(PrivateKey().secret),
            SigningKey(PrivateKey().secret),
            Played(),
        )
        async with (
            provider(tmp_path, meet=played.meet) as seller,
            bought(tmp_path, seller, session_key=key) as buyer,
        ):
            channel = await channel_of(buyer)
            forged = sign_meeting(eve, DOMAIN, meeting(channel))
            assert await answer_to(seller, forged) is Reason.BAD_SIGNATURE
            for seconds in (-130, 130):
                odd = sign_meeting(key, DOMAIN, meeting(channel, seconds))
                assert await answer_to(seller, odd) is Reason.REPLAYED
            said = sign_meeting(key, DOMAIN, meeting(channel))
            assert await answer_to(seller, said, said) is Reason.REPLAYED
            soon = sign_meeting(key, DOMAIN, meeting(channel, 1))
            assert await answer_to(seller, soon) is Reason.RATE_LIMITED
            later = sign_meeting(key, DOMAIN, meeting(channel, 6))
            assert await answer_to(seller, later) == THEIRS
            unknown = sign_meeting(key, DOMAIN, meeting(bytes(32)))
            assert await answer_to(seller, unknown) is Reason.UNEXPECTED
            assert len(played.met) == 2

    uvloop.run(play())


def test_meetings_are_one_at_a_time_and_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        key, played = SigningKey(PrivateKey().secret), Played()
        played.wait.clear()
        async with (
            provider(tmp_path, meet=played.meet) as seller,
            bought(tmp_path, seller, session_key=key) as buyer,
        ):
            channel = await channel_of(buyer)
            stream = await connect(seller.route)
            for seconds in (0, 10):
                said = sign_meeting(key, DOMAIN, meeting(channel, seconds))
                stream.send([serialize(said)])
            (refused,) = map(parse_untrusted, await stream.receive(10))
            assert refused == Refusal(Reason.RATE_LIMITED)
            played.wait.set()
            (answer,) = map(parse_untrusted, await stream.receive(10))
            assert isinstance(answer, Rendezvous)
            monkeypatch.setattr(meetings, "MAX_MEETINGS", 0)
            said = sign_meeting(key, DOMAIN, meeting(channel, 20))
            assert await answer_to(seller, said) is Reason.RATE_LIMITED
            await stream.close()

    uvloop.run(play())


def test_who_meets_nobody_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, bought(tmp_path, seller, session_key=key) as buyer:
            channel = await channel_of(buyer)
            with pytest.raises(MarketError, match="refuses to meet"):
                await ask_to_meet(seller.route, DOMAIN, key, NODE.address, channel, OURS)

    uvloop.run(play())
