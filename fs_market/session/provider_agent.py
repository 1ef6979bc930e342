# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The provider's agent: it connects clients, the engine and the chain with the sessions.

A session belongs to a channel, not to a connection.  A signed message goes to the session that it
names, whatever connection brought it.  A session's own messages go to the connection of its last
order.  An order counts once, so that nobody can get the answers by repeating another's order.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.provider import ProviderSession
from fs_market.core.session.provider_states import State
from fs_market.core.wire.channels import Voucher, channel_id
from fs_market.core.wire.messages import (
    Close,
    Message,
    Order,
    QuoteRequest,
    ReceiptAcceptance,
    Refusal,
    parse_untrusted,
    serialize,
)
from fs_market.core.wire.rendezvous import Rendezvous
from fs_market.database import Database
from fs_market.errors import MalformedMessage, Reason, Refused
from fs_market.ports import Duplex, Engine
from fs_market.session.meetings import Meet, Meetings
from fs_market.session.provider_sessions import HeldSession, Lodging, ProviderSessions, now, where
from fs_market.session.stream import Stream, Tcp
from fs_market.session.watch import ChannelWatch
from fs_wire.ratelimit import RateLimiter
from fs_wire.types import IPAddress, PublicKey

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 4096
MAX_OF_ONE_SOURCE = 16  # connections
_SIGNED = (Order, Voucher, ReceiptAcceptance, Close, Rendezvous)
IDLE_BEFORE_ORDER = 30.0  # seconds
IDLE = 300.0  # seconds; a served client pays more often
_REFUSALS_A_SECOND, REFUSALS_AT_ONCE = 10.0, 100.0  # of one source, before we hang up


@dataclass(eq=False)
class _Connection:
    stream: Stream
    source: str  # the source whose limits this connection uses up
    session: HeldSession


class ProviderAgent:
    """Serves paying clients: call ``resume`` once, then ``run``, and ``serve`` for connections."""

    def __init__(
        self,
        config: ProviderConfig,
        lodging: Lodging,
        engine: Engine,
        books: Database,
        watch: ChannelWatch,
        *,
        entropy: Callable[[int], bytes],
        reserved: Collection[PublicKey] = (),
        on_ended: Callable[[bytes], None] = lambda _channel: None,
        meet: Meet | None = None,
    ) -> None:
        """``on_ended`` is called for each channel whose session is over, and can be settled.

        ``meet`` punches holes through NATs for a client that asks; with None, the agent refuses.
        ``reserved`` are WireGuard keys that no paying client may use, because others have them.
        """
        self._domain, self._places = config.domain, lodging.places
        self._engine, self._watch = engine, watch
        self._sessions = ProviderSessions(
            *(config, lodging, engine, books, watch),
            entropy=entropy,
            reserved=reserved,
            on_ended=self._note_ended,
        )
        self._on_ended = on_ended
        self._meetings = meet and Meetings(config.domain, config.node_key, meet)
        self._connections: set[_Connection] = set()
        self._sources: Counter[str] = Counter()
        self._refused: Counter[Reason] = Counter()
        self._patience = RateLimiter(_REFUSALS_A_SECOND, REFUSALS_AT_ONCE)

    async def resume(self) -> None:
        """Resume the sessions in the journal, and remove peers that a crash left in the engine."""
        await self._sessions.resume()

    async def run(self) -> None:
        """Listen to the engine and the chain until one of them fails; raise its error."""
        tasks = [
            asyncio.ensure_future(self._hear_engine()),
            asyncio.ensure_future(self._hear_chain()),
            self._sessions.failure,
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in tasks:
                each.cancel()

    async def close(self, within: float) -> None:
        """Ask clients for their last voucher, and wait up to ``within`` seconds for their ends.

        The next process serves the clients that have paid ahead.
        """
        await self._sessions.close(within)

    def hang_up(self) -> None:
        """End all connections."""
        for connection in self._connections:
            connection.stream.abort()

    def is_over(self, channel: bytes) -> bool:
        """Whether a channel has no session any more."""
        return channel not in self._sessions.by_channel

    def books(self) -> Iterator[tuple[bytes, ProviderSession]]:
        """Yield the sessions that are not over, with their channels."""
        for channel, session in self._sessions.by_channel.items():
            yield channel, session.core

    @property
    def refused(self) -> Counter[Reason]:
        """How many messages were refused since the agent began, by reason."""
        total = self._refused + self._sessions.refused
        for _, core in self.books():
            total += core.refused
        return total

    @property
    def ended(self) -> tuple[int, int]:
        """The base units paid, and the bytes served, in the sessions that are over."""
        return self._sessions.paid, self._sessions.bytes

    @property
    def faults(self) -> int:
        """How often a session failed."""
        return self._sessions.faults

    # Connections.

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one TCP connection; this is the callback of ``asyncio.start_server``."""
        tcp = Tcp(reader, writer)
        await self.serve(tcp, _source(tcp.peer_address))

    async def serve(self, duplex: Duplex, source: str) -> None:
        """Serve one connection; all connections of one ``source`` share its limits."""
        stream = Stream(duplex)
        if len(self._connections) >= MAX_CONNECTIONS or self._sources[source] >= MAX_OF_ONE_SOURCE:
            stream.abort()
            return
        asking = self._sessions.begin()
        asking.stream = stream
        connection = _Connection(stream, source, asking)
        self._connections.add(connection)
        self._sources[source] += 1
        try:
            while True:
                idle = IDLE if connection.session.core.channel else IDLE_BEFORE_ORDER
                for message in await stream.receive(idle):
                    self._hear_untrusted(connection, message)
        except MalformedMessage as error:
            self._refused[error.reason] += 1
        except (OSError, TimeoutError):
            pass  # the client hung up, or was silent
        except Exception as error:  # noqa: BLE001 - other connections go on, whatever it is
            log.error("a connection failed: %s", where(error))
        finally:
            self._connections.discard(connection)
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
            stream.abort()

    def _hear_untrusted(self, connection: _Connection, data: bytes) -> None:
        """Give a message to its session."""
        try:
            message = parse_untrusted(data)
        except Refused as error:
            self._refuse(connection, error.reason)
            return
        if isinstance(message, QuoteRequest) and len(self._sessions.by_channel) >= self._places:
            self._refuse(connection, Reason.FULL)
            return
        session = self._sessions.by_channel.get(self._channel_of(message), connection.session)
        # Everybody knows the channels, so an unsigned message must not reach another's session.
        if session is not connection.session and not isinstance(message, _SIGNED):
            self._refuse(connection, Reason.FOREIGN_CHANNEL)
            return
        session.source = connection.source
        if isinstance(message, Rendezvous):
            self._meet_untrusted(connection, session, message)
            return
        if session.task is None:
            self._hear_asking_untrusted(connection, data)
            return
        reason = None
        with session.guarded():
            reason = session.core.receive(data, now())
        if reason is not None:
            self._tell(connection, reason)
        elif isinstance(message, Order) and session.fault is None:
            connection.session, session.stream = session, connection.stream

    def _hear_asking_untrusted(self, connection: _Connection, data: bytes) -> None:
        """Answer a client without a session; an order begins one.

        An error here ends the connection.
        """
        session = connection.session
        reason = session.core.receive(data, now())
        if reason is not None:
            session.core.refused.clear()  # ``_refuse`` counts it, as this may never be a session
            self._refuse(connection, reason)
        elif session.core.state is State.CHECKING:
            self._sessions.start(session)
        else:
            session.send()

    def _meet_untrusted(
        self, connection: _Connection, session: HeldSession, message: Rendezvous
    ) -> None:
        """Begin to punch holes through NATs for a client that we serve."""
        key, signer = session.core.wireguard_key, session.core.session_key
        try:
            if self._meetings is None or key is None or signer is None or session.place is None:
                raise Refused(Reason.UNEXPECTED, "we cannot meet you; order a place first")
            if not self._sessions.may_check(connection.source):
                raise Refused(Reason.RATE_LIMITED, "too many signatures to check; wait")
            self._meetings.hear_untrusted(message, signer, key, connection.stream)
        except Refused as error:
            self._refuse(connection, error.reason)

    def _note_ended(self, channel: bytes) -> None:
        if self._meetings is not None:
            self._meetings.forget(channel)
        self._on_ended(channel)

    def _refuse(self, connection: _Connection, reason: Reason) -> None:
        self._refused[reason] += 1
        self._tell(connection, reason)

    def _tell(self, connection: _Connection, reason: Reason) -> None:
        """Send a refusal.

        Raise ConnectionAbortedError if the source has had too many refusals.  To connect again
        costs it more than a message.
        """
        if not self._patience.allow(connection.source, now()):
            raise ConnectionAbortedError("the source has had too many refusals")
        connection.stream.send([serialize(Refusal(reason))])

    def _channel_of(self, message: Message) -> bytes:
        if isinstance(message, Order):
            return channel_id(self._domain, message.terms)
        channel = getattr(message, "channel", b"")
        return channel if isinstance(channel, bytes) else b""

    # News of the engine and the chain.

    async def _hear_engine(self) -> None:
        async for key in self._engine.low_credits():
            for session in self._sessions.by_channel.values():
                if session.core.wireguard_key == key:
                    session.is_counting = True
                    session.woken.set()

    async def _hear_chain(self) -> None:
        async for channel, status in self._watch.changes():
            session = self._sessions.by_channel.get(channel)
            if session is None:
                continue
            with session.guarded():
                if status is None:
                    session.core.channel_lost()
                else:
                    session.core.channel_changed(status, now())


def _source(address: str) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 address, which one host may own entirely."""
    ip: IPAddress = ip_address(address.partition("%")[0])
    return str(ip) if ip.version == 4 else ip.packed[:8].hex()
