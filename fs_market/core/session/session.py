"""What both sides of a session share: what they ask of a shell, and in which order it may happen.

Theory of operation.  A session is told what happened (``receive``, ``count``, ``handle_timer``) and
says what to do: ``messages_to_send`` to the other side, and ``next_event`` for the host, the chain
and the disk.  Neither waits for anything.  What must survive a crash is a ``Journal`` event: all
that was decided after it, messages and events alike, is held back until the shell has the record on
the disk and says so (``journalled``).  So a voucher never leaves before it is in the books, and no
service is given for one that a crash could lose; a session is made again from its latest record.
"""

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from fs_market.core.money.accounting import NO_USAGE, Stopwatch, Usage
from fs_market.core.money.channels import Terms
from fs_market.core.money.vouchers import Voucher
from fs_market.core.wire.messages import Message, Quote, ReceiptOffer, Tunnel, serialize
from fs_market.errors import Reason, Refused
from fs_wire.types import IPAddress, PublicKey

TICK = 1.0  # seconds between looks at the clock while service is given


# Events, each of which is one thing to do.


@dataclass(frozen=True, slots=True)
class Journal:
    """Write down ``record`` in the place of the channel's earlier one, then say ``journalled``."""

    number: int
    channel: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class QuoteReceived:
    """An offer within the user's limits: ``accept`` it, or close."""

    quote: Quote


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Open this channel with ``deposit`` base units, unless it is open; then say ``opened``."""

    channel: bytes
    terms: Terms
    deposit: int


@dataclass(frozen=True, slots=True)
class Configure:
    """Set up, or change, the tunnel to the provider."""

    tunnel: Tunnel


@dataclass(frozen=True, slots=True)
class CheckChannel:
    """Ask the chain for this channel: ``channel_found``, ``channel_missing``; watch it from on."""

    channel: bytes
    terms: Terms


@dataclass(frozen=True, slots=True)
class AddPeer:
    """Give the client its place in the engine, or leave it there; without credit."""

    wireguard_key: PublicKey
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class ReadCounters:
    """Read the peer's counters in the engine, and say ``count``."""


@dataclass(frozen=True, slots=True)
class SetLimits:
    """The control socket's ``limit``, in the engine's own count; the payment port is exempt."""

    credit: int  # 0: any
    credit_low: int  # with how many bytes left to ``count`` again


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """Take the client out of the engine."""

    wireguard_key: PublicKey


@dataclass(frozen=True, slots=True)
class ReceiptSigned:
    """Both have signed: it is evidence, of volume."""

    offer: ReceiptOffer
    client_signature: bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing more will come: redeem the voucher and close the channel."""

    terms: Terms
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; ``paid`` is what was promised in total, by our books."""

    reason: Reason
    usage: Usage
    paid: int


Event: TypeAlias = (
    Journal
    | QuoteReceived
    | OpenChannel
    | Configure
    | CheckChannel
    | AddPeer
    | ReadCounters
    | SetLimits
    | RemovePeer
    | ReceiptSigned
    | Settle
    | Ended
)


class Outbox:
    """Messages and events in their order, none of which passes a record that is not on the disk."""

    __slots__ = ("_confirmed", "_events", "_messages", "_written")

    def __init__(self) -> None:
        self._written = self._confirmed = 0
        self._events: deque[tuple[int, Event]] = deque()
        self._messages: deque[tuple[int, bytes]] = deque()

    def journal(self, channel: bytes, record: bytes) -> None:
        """Hold back all that follows until this record is on the disk."""
        self._events.append((self._written, Journal(self._written + 1, channel, record)))
        self._written += 1

    def tell(self, event: Event) -> None:
        self._events.append((self._written, event))

    def send(self, message: Message) -> None:
        self._messages.append((self._written, serialize(message)))

    def journalled(self, number: int) -> None:
        """The record of this number, and all before, are on the disk."""
        self._confirmed = max(self._confirmed, min(number, self._written))

    def next_event(self) -> Event | None:
        """Take the next thing to do; None where there is none yet."""
        if self._events and self._events[0][0] <= self._confirmed:
            return self._events.popleft()[1]
        return None

    def take_messages(self) -> list[bytes]:
        """Take what may be sent, in order."""
        taken = []
        while self._messages and self._messages[0][0] <= self._confirmed:
            taken.append(self._messages.popleft()[1])
        return taken


TimerName = TypeVar("TimerName", bound=Hashable)


class Deadlines(Generic[TimerName]):
    """Named deadlines of one session."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[TimerName, float] = {}

    def start(self, timer: TimerName, at: float) -> None:
        """From now on, also where it runs."""
        self._at[timer] = at

    def start_if_idle(self, timer: TimerName, at: float) -> None:
        self._at.setdefault(timer, at)

    def stop(self, timer: TimerName) -> None:
        self._at.pop(timer, None)

    def stop_all(self) -> None:
        self._at.clear()

    def next(self) -> float | None:
        """The earliest; None where none runs."""
        return min(self._at.values(), default=None)

    def take_due(self, now: float) -> list[TimerName]:
        """The timers that are due, which thereby stop, earliest first."""
        due = sorted((at, name) for name, at in self._at.items() if at <= now)
        for _, name in due:
            del self._at[name]
        return [name for _, name in due]


class _Books(Protocol):
    """What either side's books have alike."""

    @property
    def usage(self) -> Usage: ...

    def pass_time(self, milliseconds: int) -> None: ...


Books = TypeVar("Books", bound=_Books)


class Session(Generic[TimerName, Books]):
    """What a shell asks of either side alike."""

    def __init__(self) -> None:
        self._books: Books | None = None
        self._outbox = Outbox()
        self._timers: Deadlines[TimerName] = Deadlines()
        self._stopwatch = Stopwatch()
        self._channel = b""
        self._told: SetLimits | None = None
        self._end_reason = Reason.DONE
        self.refused: Counter[Reason] = Counter()

    @property
    def channel(self) -> bytes:
        """The channel that this session is about; empty before there is one."""
        return self._channel

    @property
    def usage(self) -> Usage:
        """By our own count."""
        return self._books.usage if self._books else NO_USAGE

    def journalled(self, number: int) -> None:
        """The Journal event of this number is on the disk."""
        self._outbox.journalled(number)

    def next_timer(self) -> float | None:
        """When ``handle_timer`` is due; read the counters before it."""
        return self._timers.next()

    def messages_to_send(self) -> list[bytes]:
        """Take what is to be sent to the other side, in order."""
        return self._outbox.take_messages()

    def next_event(self) -> Event | None:
        """Take the next thing to do; None where there is none."""
        return self._outbox.next_event()

    def _tell_limits(self, limits: SetLimits) -> bool:
        """Have the engine's limits changed; False where they are what they were."""
        if limits == self._told:
            return False
        self._told = limits
        self._outbox.tell(limits)
        return True

    @property
    def _open_books(self) -> Books:
        assert self._books is not None
        return self._books

    def _pass_time(self, now: float) -> None:
        self._open_books.pass_time(self._stopwatch.take(now))

    def _check_channel(self, channel: bytes) -> None:
        if channel != self._channel:
            raise Refused(Reason.FOREIGN_CHANNEL, "a message is for another channel; connect again")
