# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The sessions that a provider holds: each has a task that carries out its core's events in order.

No session waits for another.  An error in one session stays there: its client loses its credit, and
the session begins again from the journal, as after a crash.  If the engine or the journal is gone,
all sessions end.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from fs_market.core.money.accounting import CLOSED, SetLimits
from fs_market.core.money.records import ProviderRecord
from fs_market.core.session.events import (
    AddPeer,
    CheckChannel,
    Ended,
    Event,
    Journal,
    ReadCounters,
    RemovePeer,
)
from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.session.provider import ProviderSession
from fs_market.core.session.provider_states import State
from fs_market.core.wire.channels import ChannelStatus
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.database import Database
from fs_market.errors import ChainError, EngineRefused, JournalError, Reason
from fs_market.money import voucher_book
from fs_market.money.voucher_book import Side
from fs_market.ports import Engine
from fs_market.session import session_book
from fs_market.session.stream import Stream
from fs_market.session.watch import ChannelWatch
from fs_wire.ratelimit import RateLimiter
from fs_wire.types import Endpoint, PublicKey

log = logging.getLogger(__name__)

_CHECKS_A_SECOND, _CHECKS_AT_ONCE = 20.0, 60.0  # checks of signatures for one source
_ASK_CHAIN_AGAIN = 2.0  # seconds
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0  # seconds before a failed session begins again


@dataclass(frozen=True, slots=True)
class Lodging:
    """The places for clients."""

    places: int
    place: Callable[[int], Place]  # for a number below ``places``
    rate: int = 0  # bytes per second in each direction; 0: without limit


@dataclass(eq=False)
class HeldSession:
    """A session with its task, and with the connection of its last order."""

    core: ProviderSession = field(init=False)
    stream: Stream | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    place: Place | None = None
    source: str = ""  # the source of the latest message
    is_counting: bool = False  # whether the engine asked for a count
    had_ended: bool = False  # whether the session was over before its client asked again
    fault: Exception | None = None  # an error outside of the task, for the task to act on

    def send(self) -> None:
        """Send the messages that are not held back."""
        messages = self.core.messages_to_send()
        if messages and self.stream is not None:
            self.stream.send(messages)

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Wake the session's task after a change, and hand an error to the task."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - other sessions go on, whatever it is
            self.fault = error
        self.woken.set()


class ProviderSessions:
    """All sessions by channel.  ``on_ended`` is called for each session that is over."""

    def __init__(
        self,
        config: ProviderConfig,
        lodging: Lodging,
        engine: Engine,
        books: Database,
        watch: ChannelWatch,
        *,
        entropy: Callable[[int], bytes],
        reserved: Collection[PublicKey],
        on_ended: Callable[[bytes], None],
    ) -> None:
        self._config, self._lodging = config, lodging
        self._engine, self._books, self._watch = engine, books, watch
        self._entropy, self._reserved, self._on_ended = entropy, reserved, on_ended
        self._checks = RateLimiter(_CHECKS_A_SECOND, _CHECKS_AT_ONCE)
        self.by_channel: dict[bytes, HeldSession] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # These count the sessions that are over: ``paid`` is in base units.
        self.refused: Counter[Reason] = Counter()
        self.paid = self.bytes = 0
        self.faults = 0  # how often a session failed

    async def resume(self) -> None:
        """Resume the sessions in the journal, and remove peers that a crash left in the engine."""
        await self._books.do(session_book.give_lost_places_back)
        for entry in await self._books.do(session_book.unfinished):
            record = from_bytes_untrusted(ProviderRecord, entry.record)
            if entry.is_over:
                await self._put_out(record.wireguard_key, entry.channel)
            else:
                self.start(self.begin(record))

    def begin(self, record: ProviderRecord | None = None) -> HeldSession:
        """Make a session: for a client that may only ask, or from a record of the journal."""
        session = HeldSession()
        session.core = self._core(session, record)
        return session

    def may_check(self, source: str) -> bool:
        """Whether a source may have one more signature checked; if so, it is counted."""
        return self._checks.allow(source, now())

    def start(self, session: HeldSession) -> None:
        """Start the task of a session whose channel is known."""
        self.by_channel[session.core.channel] = session
        session.task = asyncio.create_task(self._serve(session, session.core.channel))
        session.task.add_done_callback(self._note_failure)

    async def close(self, within: float) -> None:
        """Ask clients for their last voucher, and wait up to ``within`` seconds for their ends.

        A client that has paid ahead stays as after a crash, and the next process serves it.
        """
        closing = [each for each in self.by_channel.values() if not each.core.is_paid_ahead]
        for session in closing:
            with session.guarded():
                session.core.close(now())
        tasks = [each.task for each in closing if each.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within)

    def _core(self, session: HeldSession, record: ProviderRecord | None) -> ProviderSession:
        return ProviderSession(
            self._config,
            unix_time=lambda: int(time.time()),
            entropy=self._entropy,
            may_check=lambda at: self._checks.allow(session.source, at),
            record=record,
        )

    def _note_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) and not self.failure.done():
            self.failure.set_exception(error)

    # One session.

    async def _serve(self, session: HeldSession, channel: bytes) -> None:
        """Serve a session until it is over, however often it fails."""
        delay = _FIRST_DELAY
        while not await self._is_served(session, channel):
            self.faults += 1
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        self.by_channel.pop(channel, None)
        session.task = None
        self._watch.forget(channel)
        core = session.core
        if core.channel and not session.had_ended:
            self.paid += core.paid
            self.bytes += core.usage.bytes
            self.refused += core.refused
            self._on_ended(channel)

    async def _is_served(self, session: HeldSession, channel: bytes) -> bool:
        """Serve a session; return False if it failed, and is reset to its record in the journal."""
        try:
            await self._pump(session)
        except (OSError, JournalError):
            raise  # the engine or the journal is gone, so that no session can go on
        except Exception as error:  # noqa: BLE001 - other sessions go on, whatever it is
            log.error("a session failed, and begins again from the journal: %s", where(error))
            await self._take_back(session, channel)
            return False
        return True

    async def _pump(self, session: HeldSession) -> None:
        """Carry out a session's events until it is over, or has no channel."""
        while True:
            session.woken.clear()
            if session.fault is not None:
                raise session.fault
            await self._drain(session)
            core = session.core
            if core.state is State.OVER or not core.channel:
                return
            due = core.next_timer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - now())):
                    await session.woken.wait()
            is_due = due is not None and now() >= due
            if session.is_counting or is_due:
                session.is_counting = False
                await self._count(session)
            if is_due:
                core.handle_timer(now())

    async def _take_back(self, session: HeldSession, channel: bytes) -> None:
        """Stop the client's traffic, and make the session again from its record.

        The engine goes on counting.
        """
        session.fault, session.is_counting = None, False
        if session.place is not None:
            with contextlib.suppress(EngineRefused):  # the engine does not have the client
                await self._limit(session, SetLimits(CLOSED, 0))
        entry = await self._books.do(lambda db: session_book.entry(db, channel))
        if entry is None:
            session.core = self._core(session, None)
            await self._books.do(lambda db: session_book.drop(db, channel))
            return
        record = from_bytes_untrusted(ProviderRecord, entry.record)
        session.core = self._core(session, record)
        if entry.is_over:
            await self._put_out(record.wireguard_key, channel)

    async def _drain(self, session: HeldSession) -> None:
        while True:
            session.send()
            event = session.core.next_event()
            if event is None:
                return
            await self._do(session, event)

    async def _do(self, session: HeldSession, event: Event) -> None:
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
            # ``Settle`` and ``ReceiptSigned`` need no action: the journal has the voucher for the
            # settler, and the receipt as evidence.

    async def _put_out(self, key: PublicKey, channel: bytes) -> None:
        await self._engine.remove_peer(key)
        await self._books.do(lambda db: session_book.give_place_back(db, channel))

    async def _check(self, session: HeldSession, channel: bytes) -> None:
        """Give the client a place if the chain has its channel, and no session has used it."""
        core = session.core
        entry = await self._books.do(lambda db: session_book.entry(db, channel))
        if entry is not None and entry.is_over:
            core.had_ended(from_bytes_untrusted(ProviderRecord, entry.record))
            session.had_ended = True
            return
        status = await self._status(channel)
        number = None
        # If we have no books of an earlier session, its vouchers would pay for this one again.
        is_spent = status is not None and status.claimed > core.paid
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
        core.channel_found(status, session.place, now())

    async def _status(self, channel: bytes) -> ChannelStatus | None:
        """Return a channel's status as soon as the chain node answers."""
        while True:
            try:
                return await self._watch.status(channel)
            except ChainError as error:
                log.warning("the chain node does not tell of a channel: %s", error)
                await asyncio.sleep(_ASK_CHAIN_AGAIN)

    def _is_taken(self, session: HeldSession) -> bool:
        """Whether another client has the session's WireGuard key already."""
        key = session.core.wireguard_key
        return key in self._reserved or any(
            other is not session and other.core.wireguard_key == key
            for other in self.by_channel.values()
        )

    async def _limit(self, session: HeldSession, limits: SetLimits) -> None:
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

    async def _count(self, session: HeldSession) -> None:
        key = session.core.wireguard_key
        if key is not None:
            rx, tx = await self._engine.count(key)
            session.core.count(rx, tx, now())


def now() -> float:
    """Return the seconds of a clock that also runs while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def where(error: Exception) -> str:
    """Return an error's class and line for the log.

    The error's message is left out, because it may contain a client's data.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "unknown"
    return f"{type(error).__name__} in {place}"


def _keep(db: sqlite3.Connection, channel: bytes, record: bytes) -> None:
    """Write down a record, and its voucher for the settler, in one transaction."""
    parsed = from_bytes_untrusted(ProviderRecord, record)
    session_book.put(db, channel, record, is_over=parsed.is_over)
    voucher_book.add_channel(db, channel, Side.PAYEE, parsed.terms)
    for voucher in parsed.voucher:
        voucher_book.note_voucher(db, voucher)
