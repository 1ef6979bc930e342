# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Prepaying over real sockets and journals: the service goes on after the client's agent ends."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.money.records import ClientRecord
from fs_market.core.money.units import Token
from fs_market.core.session import prepaid, provider, provider_serving
from fs_market.core.session.client import ClientSession
from fs_market.core.session.events import OpenChannel
from fs_market.core.session.prepaid import PrepaidSession
from fs_market.core.wire.channels import ChannelStatus
from fs_market.core.wire.messages import Quote, Tunnel
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError
from fs_market.journal import Journal
from fs_market.money import voucher_book
from fs_market.session import session_book
from fs_market.session.client_agent import Buyer, ClientAgent
from fs_tunnel.roles.client import prepaying_agent
from fs_tunnel.roles.client.prepaying_agent import Prepayer
from fs_tunnel.roles.starts import Dealing, PrepayStart, Purse, User
from tests.market import dealing
from tests.market.dealing import (
    CLIENT_KEY,
    DEPOSIT,
    DOMAIN,
    GENESIS,
    MIB,
    NODE,
    PAYER,
    PRICE,
    TOKEN,
    Provider,
    client_config,
    until,
)
from tests.market.played import PlayedChain, PlayedEngine
from tools.testing import patience


async def accept(session: ClientSession, _quote: Quote) -> None:
    session.accept(deposit=DEPOSIT, expires_at=int(time.time()) + 86_400, salt=os.urandom(32))


def buyer(seller: Provider) -> Buyer:
    async def have_opened(wanted: OpenChannel) -> None:
        seller.chain.known[wanted.channel] = ChannelStatus(wanted.deposit, is_final=True)

    return Buyer(accept, have_opened)


@asynccontextmanager
async def prepaid_place(folder: Path, seller: Provider) -> AsyncIterator[Tunnel]:
    async with Journal(folder / "client.journal", GENESIS) as books:
        agent = ClientAgent(PrepaidSession(client_config(SigningKey(PrivateKey().secret))), books)
        async with asyncio.timeout(patience.seconds(20)):
            place = await agent.prepay(seller.route, buyer(seller))
        assert agent.session.is_confirmed
        yield place


async def use_up(engine: PlayedEngine) -> int:
    """Return how many bytes the provider lets pass for a silent client."""
    total = 0
    while CLIENT_KEY in engine.peers:
        total += engine.pass_bytes(CLIENT_KEY, 64 << 10)
        await asyncio.sleep(0)
    return total


def test_who_has_paid_and_left_is_served_for_it_and_the_provider_can_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_serving, "FAREWELL_FOR", 0.1)

    async def play() -> None:
        async with dealing.provider(tmp_path) as seller:
            async with prepaid_place(tmp_path, seller) as place:
                (channel,) = seller.chain.known
            assert seller.engine.peers == {CLIENT_KEY: place.addresses}
            async with asyncio.timeout(patience.seconds(60)):
                total = await use_up(seller.engine)
            assert DEPOSIT - 4096 <= total <= DEPOSIT
            await until(lambda: seller.ended == [channel])
            account = await seller.books.do(lambda db: voucher_book.account(db, channel))
            assert account is not None
            assert account.voucher is not None
            assert account.voucher.cumulative == DEPOSIT

    uvloop.run(play())


def test_a_provider_that_is_started_again_goes_on_with_it(tmp_path: Path) -> None:
    async def play() -> None:
        engine, chain = PlayedEngine(), PlayedChain()
        async with dealing.provider(tmp_path, engine, chain) as seller:
            async with prepaid_place(tmp_path, seller) as place:
                pass
            passed = engine.pass_bytes(CLIENT_KEY, 64 << 10)
            await seller.agent.close(5.0)
            assert seller.ended == []
        engine = PlayedEngine()
        async with dealing.provider(tmp_path, engine, chain) as seller:
            await until(lambda: engine.credit.get(CLIENT_KEY, 0) > MIB // 2)
            assert engine.peers == {CLIENT_KEY: place.addresses}
            assert passed
            assert engine.pass_bytes(CLIENT_KEY, 64 << 10) == 64 << 10

    uvloop.run(play())


class Buying:
    """A buying agent without a process of its own; its messages are in ``told``."""

    def __init__(self, folder: Path, seller: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[dict[str, Any]] = []
        key = folder / "key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(PrivateKey().to_hex() + "\n")
        monkeypatch.setattr(prepaying_agent, "tell", self.told.append)
        monkeypatch.setattr(prepaying_agent, "consider", accept)
        monkeypatch.setattr(prepaying_agent, "have_opened", buyer(seller).open_channel)
        purse = Purse(
            books=folder,
            token=Token("FST", 6, TOKEN),
            chain_id=DOMAIN.chain_id,
            channels=DOMAIN.contract,
            genesis=GENESIS,
            payer=PAYER,
            wireguard_key=CLIENT_KEY,
            budget=DEPOSIT,
        )
        ours = Dealing(
            user=User(os.getuid(), os.getgid()),
            purse=purse,
            session_key_file=key,
            max_price=PRICE,
            node=NODE.address,
        )
        self._start = PrepayStart(dealing=ours, host=seller.route.host, port=seller.route.port)
        self._books = folder / "sessions.journal"

    async def run(self) -> dict[str, Any]:
        """Run it, and return its last message."""
        self.told.clear()
        async with asyncio.timeout(patience.seconds(20)):
            await Prepayer(self._start).run({})
        (told,) = self.told
        said = told["prepaid"]
        assert isinstance(said, dict)
        return said

    async def record(self) -> ClientRecord:
        async with Journal(self._books, GENESIS) as journal:
            (entry,) = await journal.do(session_book.latest_first)
        return from_bytes_untrusted(ClientRecord, entry.record)


def test_the_agent_tells_the_same_place_until_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_serving, "FAREWELL_FOR", 0.1)

    async def play() -> None:
        async with dealing.provider(tmp_path) as seller:
            agent = Buying(tmp_path, seller, monkeypatch)
            first = await agent.run()
            assert first["paid"] == DEPOSIT
            assert await agent.run() == first
            assert len(seller.chain.known) == 1
            async with asyncio.timeout(patience.seconds(60)):
                await use_up(seller.engine)
            await until(lambda: seller.ended)
            for _ in range(2):  # first from the provider, then from the journal
                assert (await agent.run()).keys() == {"over"}
            assert (await agent.record()).is_over
            assert len(seller.chain.known) == 1

    uvloop.run(play())


def test_a_provider_that_never_confirms_is_told_with_what_was_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with dealing.provider(tmp_path) as seller:
            agent = Buying(tmp_path, seller, monkeypatch)
            with monkeypatch.context() as patches:
                patches.setattr(prepaid, "GIVE_UP_AFTER", 0.3)
                patches.setattr(
                    provider.ProviderSession, "_take_voucher_untrusted", lambda *_: None
                )
                with pytest.raises(
                    MarketError, match=r"voucher for 104\.8576 FST was signed.*settle"
                ):
                    await agent.run()
            assert agent.told == []
            kept = await agent.record()
            assert (kept.promised, kept.is_over) == (DEPOSIT, False)
            assert (await agent.run())["paid"] == DEPOSIT
            assert len(seller.chain.known) == 1

    uvloop.run(play())


def test_a_provider_that_is_full_leaves_nothing_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with dealing.provider(tmp_path, places=0) as seller:
            agent = Buying(tmp_path, seller, monkeypatch)
            assert "no free place" in (await agent.run())["failed"]
            assert not seller.chain.known

    uvloop.run(play())


def test_a_channel_that_has_expired_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with dealing.provider(tmp_path) as seller:
            agent = Buying(tmp_path, seller, monkeypatch)
            await agent.run()
            later = time.time() + 100_000
            monkeypatch.setattr(time, "time", lambda: later)
            assert await agent.run() == {"over": "expired"}

    uvloop.run(play())
