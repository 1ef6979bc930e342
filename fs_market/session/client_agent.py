# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The client's agent: it pumps one session between its provider, the engine and the journal.

The agent has two tasks.  Before there is a tunnel, it negotiates over any connection: the quote,
the channel, and the place in the tunnel.  After that it pays through the tunnel, at the gateway,
until the session is over.  It connects and asks again if the connection breaks, or after a
restart.  A reserved place has a channel, but the client orders it only when it needs it.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from fs_market.core.money.accounting import CLOSED, SetLimits
from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_states import State
from fs_market.core.session.events import (
    Configure,
    Ended,
    Event,
    Journal,
    OpenChannel,
    QuoteReceived,
    ReadCounters,
)
from fs_market.core.session.liveness import LOOK_EVERY, Liveness
from fs_market.core.wire.messages import Quote, Tunnel
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.database import Database
from fs_market.errors import MalformedMessage, MarketError, Reason
from fs_market.ports import Engine, Route
from fs_market.session import session_book
from fs_market.session.stream import Stream, connect, no_answer
from fs_wire.types import PublicKey

log = logging.getLogger(__name__)

_IDLE = 3600.0  # seconds; it is long, because the session itself judges silence
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0  # seconds between attempts to connect
_FAREWELL = 256 << 10  # bytes beyond the budget, for the last voucher and the farewell
_WHY_NOT = {
    Reason.FULL: "the provider has no free place",
    Reason.PRICE: "the provider asks for a higher price, or a larger deposit, than you allow; "
    "fs-tunnel market quote shows both",
    Reason.SILENT: "the provider does not answer",
    Reason.TERMS: "the provider asks for more credit or tolerance than is fair",
}


@dataclass(frozen=True, slots=True)
class Buyer:
    """The buyer decides in the negotiation."""

    consider: Callable[[ClientSession, Quote], Awaitable[None]]  # accepts the quote, or raises
    open_channel: Callable[[OpenChannel], Awaitable[None]]
    only_reserves: bool = False  # whether to open the channel without ordering a place


class ClientAgent:
    """Pumps a session.

    Call ``negotiate``, ``reserve``, ``prepay``, ``order``, ``pay`` or ``leave``, each at most once.
    """

    def __init__(self, session: ClientSession, books: Database) -> None:
        self.session = session
        self.ended: Ended | None = None
        self._books = books
        self._stream: Stream | None = None
        self._engine: Engine | None = None
        self._provider: PublicKey | None = None
        self._buyer: Buyer | None = None
        self._configured: Tunnel | None = None
        self._is_reserved = False
        self._liveness: Liveness | None = None
        self._woken = asyncio.Event()
        self._is_counting = False

    async def negotiate(self, route: Route, buyer: Buyer) -> Tunnel:
        """Buy a place, or resume a purchase.  Raise MarketError if there is no agreement."""
        await self._agree(route, buyer, lambda: self._configured is not None)
        assert self._configured is not None
        return self._configured

    async def reserve(self, route: Route, buyer: Buyer) -> None:
        """Open a channel with a standby.  Raise MarketError if there is no agreement."""
        buyer = replace(buyer, only_reserves=True)
        await self._agree(route, buyer, lambda: self._is_reserved)

    async def prepay(self, route: Route, buyer: Buyer) -> Tunnel:
        """Buy a place for a ``PrepaidSession``, and wait until the provider confirms the payment.

        Raise MarketError if there is no agreement.
        """
        await self._agree(
            route, buyer, lambda: self._configured is not None and self.session.is_confirmed
        )
        assert self._configured is not None
        return self._configured

    async def order(self, stream: Stream) -> Tunnel:
        """Order a reserved place, over this connection alone.

        Raise MarketError if the provider refuses, and OSError if it hangs up.
        """
        talking = asyncio.create_task(self._talk(stream))
        serving = asyncio.create_task(self._serve(lambda: self._configured is not None))
        try:
            await asyncio.wait({talking, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            for each in (talking, serving):
                each.cancel()
            await stream.close()
        if self._configured is None and self.ended is None:
            raise ConnectionResetError("the provider hung up")
        if self._configured is None:
            raise self._failure()
        return self._configured

    async def _agree(self, route: Route, buyer: Buyer, is_enough: Callable[[], bool]) -> None:
        self._buyer = buyer
        try:
            stream = await connect(route)
        except (OSError, TimeoutError) as error:
            raise no_answer(route, error) from None
        # The provider may hang up while the user decides, or while the chain opens the channel.
        connecting = asyncio.create_task(self._stay_connected(route, stream))
        try:
            await self._serve(is_enough)
        finally:
            connecting.cancel()
            if self._stream is not None:
                await self._stream.close()
        if not is_enough():
            raise self._failure()

    def _failure(self) -> MarketError:
        if self.ended is None:
            return MarketError("the provider hung up; choose another provider")
        reason = self.ended.reason
        said = _WHY_NOT.get(reason, f"the provider cannot be used ({reason.text})")
        return MarketError(f"{said}; choose another provider, or other limits")

    @property
    def silence(self) -> float | None:
        """The seconds since a lost provider was last heard; None if the provider is there."""
        if self._liveness is None or not self._liveness.is_lost:
            return None
        return self._liveness.silence

    async def leave(self, route: Route, engine: Engine, provider: PublicKey) -> Ended:
        """End an ordered session as soon as the provider resumes it; otherwise as ``pay``."""
        return await self._pay(route, engine, provider, self._close_once_served)

    async def pay(self, gateway: Route, engine: Engine, provider: PublicKey) -> Ended:
        """Pay for the traffic until the session is over, and return its end.

        ``provider`` is the provider's WireGuard key.  Raise OSError if the engine is gone.
        """
        return await self._pay(gateway, engine, provider, lambda: False)

    async def _pay(
        self, gateway: Route, engine: Engine, provider: PublicKey, is_enough: Callable[[], bool]
    ) -> Ended:
        self._engine, self._provider = engine, provider
        await self._count()  # an earlier process may have died before it wrote down its last count
        tasks = [
            asyncio.create_task(self._stay_connected(gateway)),
            asyncio.create_task(self._hear_engine(engine)),
            asyncio.create_task(self._look_for_life(engine, provider)),
        ]
        serving = asyncio.create_task(self._serve(is_enough))
        try:
            done, _ = await asyncio.wait([serving, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in (serving, *tasks):
                each.cancel()
            if self._stream is not None:
                await self._stream.close()
        assert self.ended is not None
        return self.ended

    def close(self) -> None:
        """End the session, and pay the rest of what is owed."""
        self.session.close(self._now())
        self._woken.set()

    def _close_once_served(self) -> bool:
        # Before that state, the provider would not take the message.
        if self.session.state is State.SERVED:
            self.close()
        return False

    async def _serve(self, is_enough: Callable[[], bool]) -> None:
        session = self.session
        while True:
            self._woken.clear()
            await self._drain()
            if session.state is State.OVER or is_enough():
                return
            due = session.next_timer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._now())):
                    await self._woken.wait()
            is_due = due is not None and self._now() >= due
            if self._is_counting or is_due:
                self._is_counting = False
                await self._count()
            if is_due:
                session.handle_timer(self._now())

    async def _drain(self) -> None:
        while True:
            self._send()
            event = self.session.next_event()
            if event is None:
                break
            await self._do(event)
        self._send()

    def _send(self) -> None:
        messages = self.session.messages_to_send()
        if messages and self._stream is not None:
            self._stream.send(messages)

    async def _do(self, event: Event) -> None:
        match event:
            case Journal(number, channel, record):
                await self._books.do(lambda db: _keep(db, channel, record))
                self.session.journalled(number)
            case QuoteReceived(quote) if self._buyer is not None:
                await self._buyer.consider(self.session, quote)
            case OpenChannel() if self._buyer and self.session.state is State.OPENING:
                await self._buyer.open_channel(event)
                if self._buyer.only_reserves:
                    self.session.reserved()
                    self._is_reserved = True
                else:
                    self.session.opened(self._now())
            case Configure(tunnel):
                self._configured = tunnel
            case ReadCounters():
                await self._count()
            case SetLimits():
                await self._limit(event)
            case Ended():
                self.ended = event

    async def _limit(self, limits: SetLimits) -> None:
        if self._engine is None or self._provider is None:
            return
        credit = limits.credit
        if credit == CLOSED:
            credit = sum(await self._engine.count(self._provider)) + _FAREWELL
        await self._engine.limit(
            self._provider, credit=credit, credit_low=limits.credit_low, exempt=None, rate=0
        )

    async def _count(self) -> None:
        if self._engine is not None and self._provider is not None:
            rx, tx = await self._engine.count(self._provider)
            self.session.count(rx, tx, self._now())

    # Input.

    async def _receive(self, stream: Stream) -> None:
        try:
            while True:
                for message in await stream.receive(_IDLE):
                    self.session.receive(message, self._now())
                self._woken.set()
        except (OSError, TimeoutError, MalformedMessage) as error:
            log.info("the connection to the provider ended: %s", error)
        finally:
            self._woken.set()

    async def _stay_connected(self, route: Route, stream: Stream | None = None) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                stream = stream or await connect(route)
            except (OSError, TimeoutError):
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
                continue
            delay = _FIRST_DELAY
            await self._talk(stream)
            stream.abort()
            self._stream = stream = None
            await asyncio.sleep(delay)

    async def _talk(self, stream: Stream) -> None:
        """Speak to the provider over one connection; return when the connection has ended."""
        self._stream = stream
        self.session.connect(self._now())
        self._woken.set()
        await self._receive(stream)

    async def _look_for_life(self, engine: Engine, provider: PublicKey) -> None:
        liveness = self._liveness = Liveness(self._now())
        while True:
            received, _ = await engine.count(provider)
            liveness.look(received, self._now())
            await asyncio.sleep(LOOK_EVERY)

    async def _hear_engine(self, engine: Engine) -> None:
        async for _ in engine.low_credits():
            self._is_counting = True
            self._woken.set()

    @staticmethod
    def _now() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


def _keep(db: sqlite3.Connection, channel: bytes, record: bytes) -> None:
    is_over = from_bytes_untrusted(ClientRecord, record).is_over
    session_book.put(db, channel, record, is_over=is_over)
