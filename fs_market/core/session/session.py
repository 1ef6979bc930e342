# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What both sides of a session share: their input and output, and the order of the output.

Theory of operation.  The shell tells a session what happened (``receive``, ``count``,
``handle_timer``).  The session says what to do: ``messages_to_send`` for the other side, and
``next_event`` for the host, the chain and the disk.  Neither method waits for anything.

A ``Journal`` event holds what must survive a crash.  The session holds back every later message and
event until the shell has the record on the disk and calls ``journalled``.  So a voucher never
leaves before it is in the books, and a crash cannot lose a voucher for which service was given.
After a crash the shell makes the session again from its latest record.
"""

from collections import Counter, deque
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from fs_market.core.money.accounting import NO_USAGE, SetLimits, Stopwatch, Usage
from fs_market.core.money.books import Books
from fs_market.core.session.events import Event, Journal
from fs_market.core.wire.messages import Message, parse_untrusted, serialize
from fs_market.errors import Reason, Refused

TICK = 1.0  # seconds between looks at the clock while service is given

TimerName = TypeVar("TimerName", bound=Hashable)
BooksType = TypeVar("BooksType", bound=Books[Any])
StateName = TypeVar("StateName", bound=Enum)


class Outbox:
    """Messages and events in their order; none passes a record that is not on the disk."""

    __slots__ = ("_confirmed", "_events", "_messages", "_written")

    def __init__(self) -> None:
        self._written = self._confirmed = 0
        self._events: deque[tuple[int, Event]] = deque()
        self._messages: deque[tuple[int, bytes]] = deque()

    def journal(self, channel: bytes, record: bytes) -> None:
        """Tell the shell to journal a record; hold back all that follows until it has done so."""
        self._events.append((self._written, Journal(self._written + 1, channel, record)))
        self._written += 1

    def tell(self, event: Event) -> None:
        """Add an event for the shell."""
        self._events.append((self._written, event))

    def send(self, message: Message) -> None:
        """Add a message for the other side."""
        self._messages.append((self._written, serialize(message)))

    def journalled(self, number: int) -> None:
        """Note that the record with this number, and all earlier ones, are on the disk."""
        self._confirmed = max(self._confirmed, min(number, self._written))

    def next_event(self) -> Event | None:
        """Take the next event; None if there is none, or if it is held back."""
        if self._events and self._events[0][0] <= self._confirmed:
            return self._events.popleft()[1]
        return None

    def take_messages(self) -> list[bytes]:
        """Take the messages that are not held back, in order."""
        taken = []
        while self._messages and self._messages[0][0] <= self._confirmed:
            taken.append(self._messages.popleft()[1])
        return taken


class Deadlines(Generic[TimerName]):
    """The named deadlines of one session, in seconds of the shell's clock."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[TimerName, float] = {}

    def start(self, timer: TimerName, at: float) -> None:
        """Set a deadline, also if the timer runs already."""
        self._at[timer] = at

    def start_if_idle(self, timer: TimerName, at: float) -> None:
        """Set a deadline, unless the timer runs already."""
        self._at.setdefault(timer, at)

    def stop(self, timer: TimerName) -> None:
        """Stop a timer; nothing happens if it does not run."""
        self._at.pop(timer, None)

    def stop_all(self) -> None:
        """Stop every timer."""
        self._at.clear()

    def next(self) -> float | None:
        """Return the earliest deadline; None if no timer runs."""
        return min(self._at.values(), default=None)

    def take_due(self, now: float) -> list[TimerName]:
        """Stop the timers that are due, and return them, earliest first."""
        due = sorted((at, name) for name, at in self._at.items() if at <= now)
        for _, name in due:
            del self._at[name]
        return [name for _, name in due]


class Session(Generic[TimerName, BooksType, StateName]):
    """One side of a session, as its shell sees it."""

    def __init__(
        self, state: StateName, transitions: Mapping[StateName, Mapping[StateName, str]]
    ) -> None:
        """Begin in ``state``; ``transitions`` has the states that may follow each state."""
        self.state = state
        self.refused: Counter[Reason] = Counter()
        self._transitions = transitions
        self._books: BooksType | None = None
        self._outbox = Outbox()
        self._timers: Deadlines[TimerName] = Deadlines()
        self._stopwatch = Stopwatch()
        self._channel = b""
        self._told: SetLimits | None = None
        self._end_reason = Reason.DONE

    @property
    def channel(self) -> bytes:
        """The 32 bytes that name the session's channel; empty before there is a channel."""
        return self._channel

    @property
    def usage(self) -> Usage:
        """The service since the session began, by our own count."""
        return self._books.usage if self._books else NO_USAGE

    def receive(self, data: bytes, now: float) -> Reason | None:
        """Act on a message of the other side.

        Return the reason if the message is refused.  ``refused`` counts the reasons.
        """
        try:
            self._handle_untrusted(parse_untrusted(data), now)
        except Refused as error:
            self.refused[error.reason] += 1
            return error.reason
        return None

    def journalled(self, number: int) -> None:
        """Note that the record of the Journal event with this number is on the disk."""
        self._outbox.journalled(number)

    def next_timer(self) -> float | None:
        """Return the time at which ``handle_timer`` is due; read the counters before that call."""
        return self._timers.next()

    def messages_to_send(self) -> list[bytes]:
        """Take the messages for the other side, in order."""
        return self._outbox.take_messages()

    def next_event(self) -> Event | None:
        """Take the next event; None if there is none."""
        return self._outbox.next_event()

    def _handle_untrusted(self, message: Message, now: float) -> None:
        """Act on a message, or raise Refused."""
        raise NotImplementedError

    def _go(self, state: StateName) -> None:
        assert state in self._transitions[self.state], f"{self.state} to {state}"
        self.state = state

    def _tell_limits(self, limits: SetLimits) -> bool:
        """Have the engine's limits changed; return False if they are the same as before."""
        if limits == self._told:
            return False
        self._told = limits
        self._outbox.tell(limits)
        return True

    @property
    def _open_books(self) -> BooksType:
        assert self._books is not None
        return self._books

    def _pass_time(self, now: float) -> None:
        self._open_books.pass_time(self._stopwatch.take(now))

    def _check_channel(self, channel: bytes) -> None:
        """Raise Refused (FOREIGN_CHANNEL) if a message names another channel."""
        if channel != self._channel:
            raise Refused(Reason.FOREIGN_CHANNEL, "a message is for another channel; connect again")
