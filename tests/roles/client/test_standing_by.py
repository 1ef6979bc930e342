# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A channel without a place, which is ordered later over a connection that others have made."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_states import State
from fs_market.core.session.events import OpenChannel
from fs_market.core.session.liveness import SILENT_AFTER
from fs_market.core.wire.channels import ChannelStatus
from fs_market.core.wire.messages import Quote
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError, Reason
from fs_market.journal import Journal
from fs_market.session import session_book
from fs_market.session.client_agent import Buyer, ClientAgent
from fs_market.session.stream import Stream, take_over
from tests.market.dealing import (
    CLIENT_KEY,
    DEPOSIT,
    GENESIS,
    PROVIDER_KEY,
    Provider,
    client_config,
    paying_agent,
    provider,
    until,
)
from tests.market.played import PlayedEngine
from tools.testing import patience


@asynccontextmanager
async def reserved(folder: Path, seller: Provider, key: SigningKey) -> AsyncIterator[Journal]:
    """Make the books of a client for which ``seller`` stands by."""
    async with Journal(folder / "client.journal", GENESIS) as books:
        agent = ClientAgent(ClientSession(client_config(key)), books)

        async def consider(session: ClientSession, _quote: Quote) -> None:
            session.accept(
                deposit=DEPOSIT, expires_at=int(time.time()) + 86_400, salt=os.urandom(32)
            )

        async def have_opened(wanted: OpenChannel) -> None:
            seller.chain.known[wanted.channel] = ChannelStatus(wanted.deposit, is_final=True)

        async with asyncio.timeout(patience.seconds(20)):
            await agent.reserve(seller.route, Buyer(consider, have_opened))
        yield books


async def connection(seller: Provider) -> Stream:
    sock = socket.create_connection((seller.route.host, seller.route.port))
    sock.setblocking(False)
    return await take_over(sock)


async def record(books: Journal) -> ClientRecord:
    (entry,) = await books.do(session_book.latest_first)
    return from_bytes_untrusted(ClientRecord, entry.record)


def test_what_is_reserved_costs_no_place_until_it_is_ordered(tmp_path: Path) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, reserved(tmp_path, seller, key) as books:
            kept = await record(books)
            assert (kept.is_open, kept.is_over, kept.promised) == (True, False, 0)
            assert not seller.engine.peers
            assert await seller.books.do(session_book.unfinished) == []
            agent = await paying_agent(books, key)
            async with asyncio.timeout(patience.seconds(20)):
                place = await agent.order(await connection(seller))
            assert seller.engine.peers == {CLIENT_KEY: place.addresses}
            # A second time, as after a crash, gives the same place.
            agent = await paying_agent(books, key)
            async with asyncio.timeout(patience.seconds(20)):
                assert await agent.order(await connection(seller)) == place

    uvloop.run(play())


def test_who_hangs_up_may_be_asked_again_and_who_refuses_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, reserved(tmp_path, seller, key) as books:
            agent = await paying_agent(books, key)
            stream = await connection(seller)
            stream.abort()
            with pytest.raises(ConnectionError):
                await agent.order(stream)
            assert not (await record(books)).is_over
            later = time.time() + 1000  # the quote has expired by then
            monkeypatch.setattr(time, "time", lambda: later)
            agent = await paying_agent(books, key)
            async with asyncio.timeout(patience.seconds(20)):
                with pytest.raises(MarketError, match=Reason.STALE_QUOTE.text):
                    await agent.order(await connection(seller))
            assert (await record(books)).is_over

    uvloop.run(play())


def test_who_pays_notices_that_nobody_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, reserved(tmp_path, seller, key) as books:
            agent, near = await paying_agent(books, key), PlayedEngine()
            clock = [1000.0]
            monkeypatch.setattr(ClientAgent, "_now", staticmethod(lambda: clock[0]))
            monkeypatch.setattr("fs_market.session.client_agent.LOOK_EVERY", 0.001)
            paying = asyncio.create_task(agent.pay(seller.route, near, PROVIDER_KEY))
            await until(lambda: agent.session.state is State.SERVED)
            assert agent.silence is None

            def is_lost() -> bool:
                clock[0] += 0.5
                return agent.silence is not None

            await until(is_lost)
            assert agent.silence is not None
            assert agent.silence >= SILENT_AFTER
            near.counters[PROVIDER_KEY] = (1, 0)
            await until(lambda: agent.silence is None)
            paying.cancel()

    uvloop.run(play())
