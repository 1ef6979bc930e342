# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""After a fault, a session restarts from the journal, and the other sessions do not notice."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.money.accounting import CLOSED
from fs_market.core.session.provider import ProviderSession
from fs_market.core.wire.channels import ChannelStatus
from fs_market.core.wire.ethereum import keccak
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import EngineRefused, Reason
from fs_market.session import session_book
from fs_wire.types import PublicKey
from tests.market.dealing import (
    CLIENT_KEY,
    DEPOSIT,
    MIB,
    Provider,
    bought,
    provider,
    served_client,
    until,
)

TELLTALE = "what is a client's"
BYSTANDER_KEY = PublicKey(keccak(b"bystander"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs_market.session.provider_sessions._FIRST_DELAY", 0.01)


def core_of(seller: Provider, key: PublicKey = CLIENT_KEY) -> ProviderSession:
    return next(core for _, core in seller.agent.books() if core.wireguard_key == key)


def failing(method: Callable[..., Any], times: int = 1) -> Callable[..., Any]:
    """Make a method that fails so many times, and then works."""
    left = times

    def fails(*args: Any, **options: Any) -> Any:
        nonlocal left
        if left and args[:1] != (BYSTANDER_KEY,):
            left -= 1
            raise RuntimeError(TELLTALE)
        return method(*args, **options)

    return fails


def break_engine(seller: Provider) -> None:
    seller.engine.count = failing(seller.engine.count)  # type: ignore[method-assign]


def break_timer(seller: Provider) -> None:
    core = core_of(seller)
    core.handle_timer = failing(core.handle_timer)  # type: ignore[method-assign]


def break_hearing(seller: Provider) -> None:
    core = core_of(seller)
    core.receive = failing(core.receive)  # type: ignore[method-assign]


def break_chain_news(seller: Provider) -> None:
    core = core_of(seller)
    core.channel_changed = failing(core.channel_changed)  # type: ignore[method-assign]
    seller.chain.said.put_nowait((core.channel, ChannelStatus(DEPOSIT, is_final=True)))


def put_out(seller: Provider) -> None:
    """Remove the peer from the engine, as an administrator could; the engine forgets it."""
    limit, key = seller.engine.limit, CLIENT_KEY

    async def refuses(peer: PublicKey, **limits: Any) -> None:
        if peer not in seller.engine.peers:
            raise EngineRefused(TELLTALE)
        await limit(peer, **limits)

    seller.engine.limit = refuses  # type: ignore[method-assign]
    seller.engine.peers.pop(key)


@pytest.mark.parametrize(
    "fault", [break_engine, break_timer, break_hearing, break_chain_news, put_out]
)
def test_a_session_that_fails_goes_on_and_others_do_not_notice(
    fault: Callable[[Provider], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = [SigningKey(PrivateKey().secret) for _ in range(2)]

    async def play() -> None:
        async with (
            provider(tmp_path) as seller,
            served_client(tmp_path, seller, keys[0]) as victim,
            served_client(tmp_path, seller, keys[1], BYSTANDER_KEY, "bystander") as bystander,
        ):
            await victim.download(3 * MIB)
            before = core_of(seller, BYSTANDER_KEY)
            fault(seller)
            await bystander.download(3 * MIB)
            await victim.download(2 * MIB)
            await until(lambda: seller.agent.faults)
            await victim.download(3 * MIB)
            assert seller.agent.faults == 1
            assert core_of(seller, BYSTANDER_KEY) is before
            for each, total in ((victim, 8 * MIB), (bystander, 3 * MIB)):
                ended = await each.end()
                assert ended.reason is Reason.DONE
                assert ended.paid == total
            await until(lambda: len(seller.ended) == 2)
            assert seller.agent.ended == (11 * MIB, 11 * MIB)
            assert await seller.books.do(session_book.unfinished) == []
            assert seller.engine.peers == {}

    uvloop.run(play())
    (told,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "begins again" in told.getMessage()
    for secret in (TELLTALE, CLIENT_KEY.to_base64(), CLIENT_KEY.raw.hex()):
        assert secret not in caplog.text


def test_who_fails_has_no_credit_until_it_is_served_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("fs_market.session.provider_sessions._FIRST_DELAY", 1000.0)

    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, served_client(tmp_path, seller, key):
            await until(lambda: seller.engine.credit[CLIENT_KEY] != CLOSED)
            break_timer(seller)
            await until(lambda: seller.agent.faults)
            assert seller.engine.credit[CLIENT_KEY] == CLOSED
            assert seller.engine.exempt[CLIENT_KEY] is not None
            assert CLIENT_KEY in seller.engine.peers

    uvloop.run(play())


def test_a_session_that_fails_before_its_first_record_is_forgotten(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller:
            seller.chain.status = failing(seller.chain.status)  # type: ignore[method-assign]
            async with bought(tmp_path, seller) as buyer:  # it asks again
                assert buyer.place.addresses
            assert seller.agent.faults == 1
            assert len(seller.engine.peers) == 1

    uvloop.run(play())


def test_an_engine_that_is_gone_ends_all(tmp_path: Path) -> None:
    async def play() -> None:
        async def gone(*_: Any, **__: Any) -> None:
            raise ConnectionResetError("the engine ended")

        with pytest.raises(ConnectionResetError):
            async with provider(tmp_path) as seller, bought(tmp_path, seller):
                seller.engine.count = gone  # type: ignore[assignment,method-assign]
                await until(seller.running.done)

    uvloop.run(play())
