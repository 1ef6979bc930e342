"""The provider's agent: pumps sessions between connections, engine, journal and chain.

A session belongs to a channel, and a connection to nobody: what comes over any of them goes to the
session that it names, and what a session says goes to where it was last heard. Each session is one
task, which does what it asks for in order; none waits for another.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from fs_market import session_book, voucher_book
from fs_market.core.accounting import CLOSED
from fs_market.core.channels import channel_id
from fs_market.core.messages import (
    Message,
    Order,
    QuoteRequest,
    ReceiptAcceptance,
    Refusal,
    parse_untrusted,
    serialize,
)
from fs_market.core.offers import ProviderConfig
from fs_market.core.provider import Place, ProviderSession, State
from fs_market.core.records import ProviderRecord
from fs_market.core.schema import from_bytes_untrusted
from fs_market.core.session import (
    AddPeer,
    CheckChannel,
    Ended,
    Event,
    Journal,
    ReadCounters,
    RemovePeer,
    SetLimits,
)
from fs_market.core.vouchers import Voucher
from fs_market.errors import ChainError, MalformedMessage, Reason, Refused
from fs_market.journal import Journal as Books
from fs_market.ports import Engine
from fs_market.stream import Stream
from fs_market.voucher_book import Side
from fs_market.watch import ChannelWatch
from fs_tunnel.types import Endpoint, IPAddress, PublicKey
from fs_wire.ratelimit import RateLimiter

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 4096
MAX_OF_ONE_SOURCE = 16  # connections
_SIGNED = (Order, Voucher, ReceiptAcceptance)
IDLE_BEFORE_ORDER = 30.0  # seconds
IDLE = 300.0  # seconds; who is served pays more often
_CHECKS_A_SECOND, _CHECKS_AT_ONCE = 20.0, 60.0  # signatures of one source
_ASK_CHAIN_AGAIN = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Lodging:
    """Where clients get their places: ``place(n)`` for n below ``places``; ``rate`` in bytes/s."""

    places: int
    place: Callable[[int], Place]
    rate: int = 0  # each way; 0: any


@dataclass(eq=False)
class _Connection:
    stream: Stream
    source: str  # whom to hold responsible for signatures that are checked
    session: "_Session"


@dataclass(eq=False)
class _Session:
    """A session of the core with its task, and the connection where it was last heard."""

    core: ProviderSession
    connection: _Connection | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    place: Place | None = None
    source: str = ""  # of the message that is looked at
    is_counting: bool = False  # a count was asked for


class ProviderAgent:
    """Serves whoever pays. ``run`` goes on where the journal ends."""

    def __init__(
        self,
        config: ProviderConfig,
        lodging: Lodging,
        engine: Engine,
        books: Books,
        watch: ChannelWatch,
        *,
        entropy: Callable[[int], bytes],
        reserved: Collection[PublicKey] = (),
        on_ended: Callable[[bytes], None] = lambda _channel: None,
    ) -> None:
        """``on_ended`` hears of each channel whose session is over: it can be settled.

        ``reserved`` are WireGuard keys that nobody may come with: those of other clients.
        """
        self._config, self._lodging = config, lodging
        self._engine, self._books, self._watch = engine, books, watch
        self._entropy, self._reserved, self._on_ended = entropy, reserved, on_ended
        self._sessions: dict[bytes, _Session] = {}  # by channel
        self._connections: set[_Connection] = set()
        self._sources: Counter[str] = Counter()
        self._checks = RateLimiter(_CHECKS_A_SECOND, _CHECKS_AT_ONCE)
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused: Counter[Reason] = Counter()
        self.paid = self.bytes = 0  # of sessions that are over

    async def resume(self) -> None:
        """Take up the sessions in the journal, and put out those that a crash left behind."""
        await self._books.do(session_book.give_lost_places_back)
        for entry in await self._books.do(session_book.unfinished):
            record = from_bytes_untrusted(ProviderRecord, entry.record)
            if entry.is_over:
                await self._put_out(record.wireguard_key, entry.channel)
            else:
                session = self._sessions[entry.channel] = self._new_session(record)
                self._start(session)

    async def run(self) -> None:
        """Hear the engine and the chain until one of them fails, which is raised."""
        tasks = [
            asyncio.ensure_future(self._hear_engine()),
            asyncio.ensure_future(self._hear_chain()),
            self._failure,
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in tasks:
                each.cancel()

    async def close(self, within: float) -> None:
        """Ask all clients for their last voucher, and wait for the ends of their sessions."""
        for session in self._sessions.values():
            session.core.close(self._now())
            session.woken.set()
        tasks = [each.task for each in self._sessions.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within)

    def hang_up(self) -> None:
        """End all connections."""
        for connection in self._connections:
            connection.stream.abort()

    def is_over(self, channel: bytes) -> bool:
        """Whether nothing more will come for a channel."""
        return channel not in self._sessions

    def books(self) -> Iterator[tuple[bytes, ProviderSession]]:
        """The sessions that are not over, by channel."""
        for channel, session in self._sessions.items():
            yield channel, session.core

    # Connections.

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, from anywhere; for ``asyncio.start_server``."""
        stream = Stream(reader, writer)
        source = _source(stream.peer_address)
        if len(self._connections) >= MAX_CONNECTIONS or self._sources[source] >= MAX_OF_ONE_SOURCE:
            stream.abort()
            return
        asking = self._new_session()
        connection = asking.connection = _Connection(stream, source, asking)
        self._connections.add(connection)
        self._sources[source] += 1
        try:
            while True:
                idle = IDLE if connection.session.core.channel else IDLE_BEFORE_ORDER
                for message in await stream.receive(idle):
                    self._hear_untrusted(connection, message)
        except MalformedMessage as error:
            self.refused[error.reason] += 1
        except (OSError, TimeoutError):
            pass  # it hung up, or said nothing
        finally:
            self._connections.discard(connection)
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
            stream.abort()

    def _hear_untrusted(self, connection: _Connection, data: bytes) -> None:
        """Give a message to its session; the answers of one that only asks go back at once."""
        try:
            message = parse_untrusted(data)
        except Refused as error:
            self._refuse(connection, error.reason)
            return
        if isinstance(message, QuoteRequest) and len(self._sessions) >= self._lodging.places:
            self._refuse(connection, Reason.FULL)
            return
        session = self._sessions.get(self._channel_of(message), connection.session)
        # Channels are known to everybody: who has signed nothing says nothing about another's.
        if session is not connection.session and not isinstance(message, _SIGNED):
            self._refuse(connection, Reason.FOREIGN_CHANNEL)
            return
        core, before = session.core, session.core.refused.total()
        session.source = connection.source
        core.receive(data, self._now())
        if core.refused.total() == before:
            connection.session, session.connection = session, connection
        if session.task is None:
            if core.channel:
                self._sessions[core.channel] = session
                self._start(session)
            else:
                self._send(session)
        session.woken.set()

    def _refuse(self, connection: _Connection, reason: Reason) -> None:
        self.refused[reason] += 1
        connection.stream.send([serialize(Refusal(reason))])

    def _channel_of(self, message: Message) -> bytes:
        if isinstance(message, Order):
            return channel_id(self._config.domain, message.terms)
        channel = getattr(message, "channel", b"")
        return channel if isinstance(channel, bytes) else b""

    # Sessions.

    def _new_session(self, record: ProviderRecord | None = None) -> _Session:
        session: _Session
        core = ProviderSession(
            self._config,
            unix_time=lambda: int(time.time()),
            entropy=self._entropy,
            may_check=lambda now: self._checks.allow(session.source, now),
            record=record,
        )
        session = _Session(core)
        return session

    def _start(self, session: _Session) -> None:
        session.task = asyncio.create_task(self._serve(session))
        session.task.add_done_callback(self._note_failure)

    def _note_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    async def _serve(self, session: _Session) -> None:
        """Do what a session asks for until it is over."""
        core = session.core
        channel = core.channel
        while True:
            session.woken.clear()
            await self._drain(session)
            if core.state is State.OVER or not core.channel:
                break
            due = core.next_timer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._now())):
                    await session.woken.wait()
            is_due = due is not None and self._now() >= due
            if session.is_counting or is_due:
                session.is_counting = False
                await self._count(session)
            if is_due:
                core.handle_timer(self._now())
        self._sessions.pop(channel, None)
        session.task = None
        self._watch.forget(channel)
        if core.channel:
            self.paid += core.paid
            self.bytes += core.usage.bytes
            self.refused += core.refused
            self._on_ended(channel)

    async def _drain(self, session: _Session) -> None:
        while True:
            self._send(session)
            event = session.core.next_event()
            if event is None:
                break
            await self._do(session, event)
        self._send(session)

    def _send(self, session: _Session) -> None:
        messages = session.core.messages_to_send()
        if messages and session.connection is not None:
            session.connection.stream.send(messages)

    async def _do(self, session: _Session, event: Event) -> None:
        core = session.core
        match event:
            case Journal(number, channel, record):
                await self._books.do(lambda db: _keep(db, channel, record))
                core.journalled(number)
            case CheckChannel(channel):
                await self._check(session, channel)
            case AddPeer(key, addresses):
                await self._engine.add_peer(key, addresses)
                await self._limit(session, SetLimits(CLOSED, 0))
            case ReadCounters():
                await self._count(session)
            case SetLimits():
                await self._limit(session, event)
            case RemovePeer(key):
                await self._put_out(key, core.channel)
            case Ended(reason, usage, paid):
                log.info("a session ended: %s; %d bytes, %d paid", reason.text, usage.bytes, paid)
            # What is signed stands in the record: there the settler finds the voucher, and whoever
            # asks for evidence the receipt.

    async def _put_out(self, key: PublicKey, channel: bytes) -> None:
        await self._engine.remove_peer(key)
        await self._books.do(lambda db: session_book.give_place_back(db, channel))

    async def _check(self, session: _Session, channel: bytes) -> None:
        """Ask the chain until it answers, and give the client a place."""
        core = session.core
        while True:
            try:
                status = await self._watch.status(channel)
                break
            except ChainError as error:
                log.warning("the chain cannot be asked for a channel: %s", error)
                await asyncio.sleep(_ASK_CHAIN_AGAIN)
        number = None
        # Vouchers of a session that is over, or that we have no books of, would pay once more.
        is_spent = await self._books.do(lambda db: session_book.is_over(db, channel))
        is_spent |= status is not None and status.claimed > core.paid
        if status is not None and not is_spent and not self._is_taken(session):
            most = self._lodging.places
            number = await self._books.do(lambda db: session_book.take_place(db, channel, most))
        if status is None or number is None:
            core.channel_missing()
            if not core.channel:
                await self._books.do(lambda db: session_book.drop(db, channel))
            return
        self._watch.follow(channel, status)
        session.place = self._lodging.place(number)
        core.channel_found(status, session.place, self._now())

    def _is_taken(self, session: _Session) -> bool:
        """Whether the client came with a key that another has already."""
        key = session.core.wireguard_key
        return key in self._reserved or any(
            other is not session and other.core.wireguard_key == key
            for other in self._sessions.values()
        )

    async def _limit(self, session: _Session, limits: SetLimits) -> None:
        place, key = session.place, session.core.wireguard_key
        assert place is not None
        assert key is not None
        await self._engine.limit(
            key,
            credit=limits.credit,
            credit_low=limits.credit_low,
            exempt=Endpoint(str(place.gateway), place.payment_port),
            rate=self._lodging.rate,
        )

    async def _count(self, session: _Session) -> None:
        key = session.core.wireguard_key
        if key is not None:
            rx, tx = await self._engine.count(key)
            session.core.count(rx, tx, self._now())

    # What others say.

    async def _hear_engine(self) -> None:
        async for key in self._engine.low_credits():
            for session in self._sessions.values():
                if session.core.wireguard_key == key:
                    session.is_counting = True
                    session.woken.set()

    async def _hear_chain(self) -> None:
        async for channel, status in self._watch.changes():
            session = self._sessions.get(channel)
            if session is None:
                continue
            if status is None:
                session.core.channel_lost()
            else:
                session.core.channel_changed(status, self._now())
            session.woken.set()

    @staticmethod
    def _now() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def _source(address: str) -> str:
    """An address, or the /64 that one host may have all of."""
    ip: IPAddress = ip_address(address.partition("%")[0])
    return str(ip) if ip.version == 4 else ip.packed[:8].hex()


def _keep(db: sqlite3.Connection, channel: bytes, record: bytes) -> None:
    """A record, and its voucher where the settler looks for it, in one transaction."""
    parsed = from_bytes_untrusted(ProviderRecord, record)
    session_book.put(db, channel, record, is_over=parsed.is_over)
    voucher_book.add_channel(db, channel, Side.PAYEE, parsed.terms)
    for voucher in parsed.voucher:
        voucher_book.note_voucher(db, voucher)
