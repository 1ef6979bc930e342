"""Both agents over real sockets and journals; the engine and the chain are played."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market import session_book, voucher_book
from fs_market.buying import ask_for_quote
from fs_market.client_agent import Buyer, ClientAgent
from fs_market.core.accounting import CLOSED, Increment
from fs_market.core.channels import ChannelStatus, channel_id, channels_domain
from fs_market.core.client import ClientSession, State
from fs_market.core.ethereum import Address, keccak
from fs_market.core.framing import frame
from fs_market.core.messages import Quote, Refusal, Tunnel, parse_untrusted, serialize, sign_close
from fs_market.core.offers import ProviderConfig
from fs_market.core.places import Place
from fs_market.core.prices import Price
from fs_market.core.purchase import ClientConfig
from fs_market.core.records import ClientRecord, ProviderRecord
from fs_market.core.schema import from_bytes_untrusted
from fs_market.core.session import OpenChannel
from fs_market.core.signatures import SigningKey
from fs_market.errors import MarketError, Reason
from fs_market.journal import Journal
from fs_market.provider_agent import MAX_OF_ONE_SOURCE, ProviderAgent
from fs_market.provider_sessions import Lodging
from fs_market.stream import connect
from fs_market.voucher_book import Side
from fs_tunnel.types import Endpoint, PublicKey
from tests.market.played import PlayedChain, PlayedEngine

MIB = 1 << 20
GENESIS = keccak(b"genesis")
DOMAIN = channels_domain(31337, Address(keccak(b"channels")[12:]))
TOKEN, PAYEE, PAYER = (Address(keccak(each)[12:]) for each in (b"token", b"payee", b"payer"))
GATEWAY = ip_address("127.0.0.1")
PROVIDER_KEY, CLIENT_KEY = PublicKey(keccak(b"provider")), PublicKey(keccak(b"client"))
PRICE = Price(1 << 30, 0)  # a unit a byte
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
        )
        server = await asyncio.start_server(agent.converse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await agent.resume()
        running = asyncio.create_task(agent.run())
        try:
            yield Provider(agent, engine, chain, books, port, ended)
            if running.done():
                running.result()  # what has ended it
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

        async with asyncio.timeout(20):
            place = await agent.negotiate("127.0.0.1", seller.port, Buyer(consider, have_opened))
        yield Client(agent, books, place)


async def paying_agent(books: Journal, session_key: SigningKey) -> ClientAgent:
    """An agent that goes on where the journal ends, as after ``up``, or a crash."""
    entry = await books.do(session_book.latest)
    assert entry is not None
    record = from_bytes_untrusted(ClientRecord, entry.record)
    return ClientAgent(ClientSession(client_config(session_key), record), books)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - of many objects, without events
            await asyncio.sleep(0.01)


def test_from_the_quote_to_the_last_voucher(tmp_path: Path) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller, bought(tmp_path, seller, session_key=key) as buyer:
            assert buyer.place.addresses == (ip_address("10.66.0.2"),)
            assert seller.engine.peers == {CLIENT_KEY: buyer.place.addresses}
            assert seller.engine.exempt[CLIENT_KEY] == Endpoint("127.0.0.1", seller.port)
            near, agent = PlayedEngine(), await paying_agent(buyer.books, key)
            paying = asyncio.create_task(agent.pay("127.0.0.1", seller.port, near, PROVIDER_KEY))
            await until(lambda: agent.session.state is State.SERVED)
            left = 8 * MIB
            async with asyncio.timeout(20):
                while left:
                    passed = seller.engine.pass_bytes(CLIENT_KEY, left)
                    rx, tx = near.counters.get(PROVIDER_KEY, (0, 0))
                    near.counters[PROVIDER_KEY] = (rx + passed, tx)
                    near.told.put_nowait(PROVIDER_KEY)
                    left -= passed
                    await asyncio.sleep(0.01)
            agent.close()
            async with asyncio.timeout(20):
                ended = await paying
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
        assert engine.peers  # nobody has put it out
        async with provider(tmp_path, engine, chain) as seller:
            await until(lambda: engine.credit[CLIENT_KEY] != CLOSED)
            assert engine.peers == {CLIENT_KEY: place.addresses}

    uvloop.run(play())


def test_a_channel_that_had_its_session_has_no_second_one(tmp_path: Path) -> None:
    async def play() -> None:
        key = SigningKey(PrivateKey().secret)
        async with provider(tmp_path) as seller:
            async with bought(tmp_path, seller, session_key=key) as buyer:
                entry = await buyer.books.do(session_book.latest)
            assert entry is not None
            seller.chain.said.put_nowait((entry.channel, None))
            await until(lambda: seller.ended)
            record = from_bytes_untrusted(ClientRecord, entry.record)
            async with Journal(tmp_path / "again.journal", GENESIS) as books:
                again = ClientAgent(ClientSession(client_config(key), record), books)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await again.negotiate("127.0.0.1", seller.port, None)  # type: ignore[arg-type]
            assert again.session.refused[Reason.NO_CHANNEL] > 0
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
            entry = await buyer.books.do(session_book.latest)
            assert entry is not None
            ((_, core),) = seller.agent.books()
            await until(lambda: not seller.agent._connections)
            core.close(time.clock_gettime(time.CLOCK_BOOTTIME))  # which it has to be told of
            await asyncio.sleep(1.5)  # a tick
            assert core.state.value == "closing"
            assert not seller.agent.is_over(entry.channel)

    uvloop.run(play())


def test_a_full_provider_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path, places=1) as seller, bought(tmp_path, seller):
            with pytest.raises(MarketError, match="full"):
                await ask_for_quote("127.0.0.1", seller.port, DOMAIN, None)

    uvloop.run(play())


def test_a_stranger_closes_no_session_of_others(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller, bought(tmp_path, seller) as buyer:
            entry = await buyer.books.do(session_book.latest)
            assert entry is not None
            stream = await connect("127.0.0.1", seller.port)
            stranger = SigningKey(PrivateKey().secret)
            close = sign_close(stranger, DOMAIN, entry.channel, Reason.DONE, 0, final=False)
            stream.send([serialize(close)])
            (said, *_) = map(parse_untrusted, await stream.receive(5))
            assert said == Refusal(Reason.BAD_SIGNATURE)
            assert seller.agent.is_over(entry.channel) is False
            ((_, core),) = seller.agent.books()
            assert core.state.value == "serving"
            await stream.close()

    uvloop.run(play())


@pytest.mark.parametrize("hostile", [b"\xff\xff", b"\x00\x00", frame(b"\xff" * 100)])
def test_what_is_no_message_is_refused_and_counted(tmp_path: Path, hostile: bytes) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller:
            _, writer = await asyncio.open_connection("127.0.0.1", seller.port)
            writer.write(hostile)
            await until(lambda: seller.agent.refused[Reason.MALFORMED])
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    uvloop.run(play())


def test_one_source_has_few_connections(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller:
            held = [await connect("127.0.0.1", seller.port) for _ in range(MAX_OF_ONE_SOURCE)]
            await until(lambda: len(seller.agent._connections) == MAX_OF_ONE_SOURCE)
            one_more = await connect("127.0.0.1", seller.port)
            with pytest.raises(ConnectionResetError):
                await one_more.receive(5)
            for each in [*held, one_more]:
                await each.close()

    uvloop.run(play())


def test_who_trickles_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs_market.stream._WHOLE_WITHIN", 0.3)

    async def play() -> None:
        async with provider(tmp_path) as seller:
            reader, writer = await asyncio.open_connection("127.0.0.1", seller.port)
            with pytest.raises((ConnectionError, RuntimeError)):  # uvloop's word for closed
                async with asyncio.timeout(10):
                    while True:  # each byte is soon after the one before
                        writer.write(b"\x01")
                        await writer.drain()
                        await asyncio.sleep(0.1)
            assert reader.at_eof() or reader.exception()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

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
