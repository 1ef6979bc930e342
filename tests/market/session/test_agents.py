# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Both agents over real sockets and journals, with a simulated engine and chain."""

import asyncio
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.money.accounting import CLOSED
from fs_market.core.money.records import ClientRecord, ProviderRecord
from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_states import State
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError, Reason
from fs_market.journal import Journal
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Side
from fs_market.session import session_book
from fs_market.session.client_agent import ClientAgent
from fs_market.session.quoting import ask_for_quote
from fs_wire.types import Endpoint
from tests.market.dealing import (
    CLIENT_KEY,
    DOMAIN,
    GENESIS,
    MIB,
    bought,
    client_config,
    provider,
    served_client,
    until,
)
from tests.market.played import PlayedChain, PlayedEngine


def test_from_the_quote_to_the_last_voucher(tmp_path: Path) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, served_client(tmp_path, seller, key) as client:
            places = {CLIENT_KEY: (ip_address("10.66.0.2"),)}
            assert seller.engine.peers == places
            assert seller.engine.exempt[CLIENT_KEY] == Endpoint("127.0.0.1", seller.port)
            await client.download(8 * MIB)
            ended = await client.end()
            assert ended.reason is Reason.DONE
            assert ended.paid == 8 * MIB
            await until(lambda: seller.ended)
            (account,) = await seller.books.do(
                lambda db: voucher_book.open_accounts(db, Side.PAYEE)
            )
            assert account.promised == ended.paid
            assert seller.engine.peers == {}
            assert await seller.books.do(session_book.unfinished) == []

    uvloop.run(play())


def test_who_does_not_pay_gets_one_window_and_then_only_the_payment_port(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller, bought(tmp_path, seller):
            await until(lambda: seller.engine.credit[CLIENT_KEY] != CLOSED)
            assert seller.engine.pass_bytes(CLIENT_KEY, 64 * MIB) <= MIB
            await until(lambda: seller.engine.credit[CLIENT_KEY] == CLOSED)
            assert seller.engine.exempt[CLIENT_KEY] is not None

    uvloop.run(play())


def test_a_provider_that_crashed_goes_on_with_its_clients(tmp_path: Path) -> None:
    async def play() -> None:
        engine, chain = PlayedEngine(), PlayedChain()
        async with provider(tmp_path, engine, chain) as seller, bought(tmp_path, seller) as buyer:
            place = buyer.place
        assert engine.peers  # nobody has removed the peer
        async with provider(tmp_path, engine, chain) as seller:
            await until(lambda: engine.credit[CLIENT_KEY] != CLOSED)
            assert engine.peers == {CLIENT_KEY: place.addresses}

    uvloop.run(play())


def test_a_channel_that_had_its_session_has_no_second_one(tmp_path: Path) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller:
            async with bought(tmp_path, seller, session_key=key) as buyer:
                entry, *_ = await buyer.books.do(session_book.latest_first)
            seller.chain.said.put_nowait((entry.channel, None))
            await until(lambda: seller.ended)
            record = from_bytes_untrusted(ClientRecord, entry.record)
            async with Journal(tmp_path / "again.journal", GENESIS) as books:
                again = ClientAgent(ClientSession(client_config(key), record), books)
                with pytest.raises(MarketError, match="done"):
                    await again.negotiate(seller.route, None)  # type: ignore[arg-type]
            assert again.session.state is State.OVER
            assert not again.session.refused
            assert len(seller.ended) == 1
            assert seller.engine.peers == {}

    uvloop.run(play())


@pytest.mark.parametrize("reserved", [True, False])
def test_nobody_comes_with_the_key_of_another(tmp_path: Path, reserved: bool) -> None:
    async def play() -> None:
        keys = (CLIENT_KEY,) if reserved else ()
        async with provider(tmp_path, reserved=keys) as seller:
            if not reserved:
                async with bought(tmp_path, seller):
                    pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), bought(tmp_path, seller, name="thief"):
                    pass
            assert len(seller.engine.peers) == (0 if reserved else 1)

    uvloop.run(play())


def test_who_hangs_up_before_an_answer_does_no_harm(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller, bought(tmp_path, seller) as buyer:
            entry, *_ = await buyer.books.do(session_book.latest_first)
            ((_, core),) = seller.agent.books()
            await until(lambda: not seller.agent._connections)
            core.close(time.clock_gettime(time.CLOCK_BOOTTIME))  # the agent must be told of it
            await asyncio.sleep(1.5)  # a tick
            assert core.state.value == "closing"
            assert not seller.agent.is_over(entry.channel)

    uvloop.run(play())


def test_a_full_provider_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path, places=1) as seller, bought(tmp_path, seller):
            with pytest.raises(MarketError, match="full"):
                await ask_for_quote(seller.route, DOMAIN, None)

    uvloop.run(play())


def test_a_provider_record_is_on_the_disk_with_its_voucher(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller, bought(tmp_path, seller):
            (entry,) = await seller.books.do(session_book.unfinished)
            record = from_bytes_untrusted(ProviderRecord, entry.record)
            assert record.wireguard_key == CLIENT_KEY
            (account,) = await seller.books.do(
                lambda db: voucher_book.open_accounts(db, Side.PAYEE)
            )
            assert account.channel == entry.channel

    uvloop.run(play())
