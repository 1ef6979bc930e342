# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's agent that serves on loopback, and clients that have bought from it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from coincurve import PrivateKey

from fs_market.core.money.accounting import Increment
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_states import State
from fs_market.core.session.events import Ended, OpenChannel
from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.session.purchase import ClientConfig
from fs_market.core.wire.channels import ChannelStatus, channel_id, channels_domain
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.messages import Quote, Tunnel
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.journal import Journal
from fs_market.ports import Route
from fs_market.session import session_book
from fs_market.session.client_agent import Buyer, ClientAgent
from fs_market.session.meetings import Meet
from fs_market.session.provider_agent import ProviderAgent
from fs_market.session.provider_sessions import Lodging
from fs_market.session.stream import TcpRoute
from fs_wire.types import Endpoint, PublicKey
from tests.market.played import PlayedChain, PlayedEngine
from tools.testing import patience

MIB = 1 << 20
GENESIS = keccak(b"genesis")
DOMAIN = channels_domain(31337, Address(keccak(b"channels")[12:]))
TOKEN, PAYEE, PAYER = (Address(keccak(each)[12:]) for each in (b"token", b"payee", b"payer"))
GATEWAY = ip_address("127.0.0.1")
PROVIDER_KEY, CLIENT_KEY = PublicKey(keccak(b"provider")), PublicKey(keccak(b"client"))
PRICE = Price(1 << 30, 0)  # one base unit for a byte
DEPOSIT = 100 * MIB
NODE = SigningKey(PrivateKey().secret)


@dataclass
class Provider:
    agent: ProviderAgent
    engine: PlayedEngine
    chain: PlayedChain
    books: Journal
    port: int
    ended: list[bytes]
    running: "asyncio.Task[None]"

    @property
    def route(self) -> TcpRoute:
        return TcpRoute("127.0.0.1", self.port)


@dataclass
class Client:
    agent: ClientAgent
    books: Journal
    place: Tunnel


@asynccontextmanager
async def provider(
    folder: Path,
    engine: PlayedEngine | None = None,
    chain: PlayedChain | None = None,
    *,
    places: int = 4,
    reserved: tuple[PublicKey, ...] = (),
    meet: Meet | None = None,
) -> AsyncIterator[Provider]:
    engine, chain = engine or PlayedEngine(), chain or PlayedChain()
    config = ProviderConfig(
        *(DOMAIN, TOKEN, PAYEE, NODE, PRICE, Increment(MIB, 5, 64 * MIB, 30), 10_000),
        *(3600, 1, 900),
    )
    port = 0

    def place(number: int) -> Place:
        return Place(
            wireguard_key=PROVIDER_KEY,
            endpoint=Endpoint("192.0.2.1", 51820),
            addresses=(ip_address(f"10.66.0.{number + 2}"),),
            dns=(),
            gateway=GATEWAY,
            payment_port=port,
            mtu=1420,
        )

    ended: list[bytes] = []
    async with Journal(folder / "provider.journal", GENESIS) as books:
        agent = ProviderAgent(
            *(config, Lodging(places, place), engine, books),
            chain,  # type: ignore[arg-type]
            entropy=os.urandom,
            reserved=reserved,
            on_ended=ended.append,
            meet=meet,
        )
        server = await asyncio.start_server(agent.converse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await agent.resume()
        running = asyncio.create_task(agent.run())
        try:
            yield Provider(agent, engine, chain, books, port, ended, running)
            if running.done():
                running.result()  # raises the error that ended it
        finally:
            running.cancel()
            server.close()
            agent.hang_up()
            for session in agent._sessions.by_channel.values():  # as a crash would
                if session.task is not None:
                    session.task.cancel()


def client_config(session_key: SigningKey, wireguard_key: PublicKey = CLIENT_KEY) -> ClientConfig:
    return ClientConfig(
        *(DOMAIN, TOKEN, PAYER, session_key, wireguard_key, PRICE, DEPOSIT), NODE.address
    )


@asynccontextmanager
async def bought(
    folder: Path,
    seller: Provider,
    *,
    session_key: SigningKey | None = None,
    wireguard_key: PublicKey = CLIENT_KEY,
    name: str = "client",
    route: Route | None = None,
) -> AsyncIterator[Client]:
    key = session_key or SigningKey(PrivateKey().secret)
    async with Journal(folder / f"{name}.journal", GENESIS) as books:
        agent = ClientAgent(ClientSession(client_config(key, wireguard_key)), books)

        async def consider(session: ClientSession, _quote: Quote) -> None:
            session.accept(
                deposit=DEPOSIT, expires_at=int(time.time()) + 86_400, salt=os.urandom(32)
            )

        async def have_opened(wanted: OpenChannel) -> None:
            assert channel_id(DOMAIN, wanted.terms) == wanted.channel
            seller.chain.known[wanted.channel] = ChannelStatus(wanted.deposit, is_final=True)

        async with asyncio.timeout(patience.seconds(20)):
            place = await agent.negotiate(route or seller.route, Buyer(consider, have_opened))
        yield Client(agent, books, place)


async def paying_agent(books: Journal, session_key: SigningKey) -> ClientAgent:
    """Make an agent that continues where the journal ends, as after ``up`` or a crash."""
    entry, *_ = await books.do(session_book.latest_first)
    record = from_bytes_untrusted(ClientRecord, entry.record)
    return ClientAgent(ClientSession(client_config(session_key), record), books)


@dataclass
class Served:
    """A client that pays for the traffic of both engines."""

    seller: Provider
    agent: ClientAgent
    books: Journal
    engine: PlayedEngine
    key: PublicKey
    paying: "asyncio.Task[Ended]"

    async def download(self, total: int) -> None:
        """Download so many bytes, as fast as the credit permits."""
        async with asyncio.timeout(patience.seconds(20)):
            while total:
                passed = self.seller.engine.pass_bytes(self.key, total)
                rx, tx = self.engine.counters.get(PROVIDER_KEY, (0, 0))
                self.engine.counters[PROVIDER_KEY] = (rx + passed, tx)
                self.engine.told.put_nowait(PROVIDER_KEY)
                total -= passed
                await asyncio.sleep(0.01)

    async def end(self) -> Ended:
        """Close, and return how the session ended."""
        self.agent.close()
        async with asyncio.timeout(patience.seconds(20)):
            return await self.paying


@asynccontextmanager
async def served_client(
    folder: Path,
    seller: Provider,
    session_key: SigningKey,
    wireguard_key: PublicKey = CLIENT_KEY,
    name: str = "client",
) -> AsyncIterator[Served]:
    async with bought(
        folder, seller, session_key=session_key, wireguard_key=wireguard_key, name=name
    ) as buyer:
        near, agent = PlayedEngine(), await paying_agent(buyer.books, session_key)
        paying = asyncio.create_task(agent.pay(seller.route, near, PROVIDER_KEY))
        await until(lambda: agent.session.state is State.SERVED)
        try:
            yield Served(seller, agent, buyer.books, near, wireguard_key, paying)
        finally:
            paying.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(patience.seconds(20)):
        while not condition():  # noqa: ASYNC110 - many objects, which give no event
            await asyncio.sleep(0.01)
