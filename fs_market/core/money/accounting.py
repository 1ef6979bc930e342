"""Credit windows: how far service may run ahead of payment, and what is owed for it.

Theory of operation.  Service is paid for after it was given, and the provider lets it run ahead of
the vouchers by one window: so many bytes, and the seconds they may take.  A window is money, the
price of both; whichever is used up first ends the credit.  The first is one increment, and it stays
that until the chain has finalised the channel.  From then on it doubles whenever a whole window
was paid since it last grew, up to about four times what the wire holds in a round trip.  So nobody
is ever trusted with more than he has paid before, but for the first increment.

The engine enforces bytes, in its own count: ``credit`` is where ``credit_used`` has to stop.
"""

from dataclasses import dataclass, replace
from typing import Self

from fs_market.core.money.prices import UNLIMITED, Price
from fs_market.core.wire.schema import U64

ANY = 0  # the engine's word for: without limit
CLOSED = 1  # the engine's smallest limit: not even one packet
A_PACKET = 2048  # bytes: with less credit than this, nothing passes
_MILLION = 1_000_000
_IN_FLIGHT = 4  # round trips' worth of bytes that a window may hold


@dataclass(frozen=True, slots=True)
class Usage:
    """Service since a session began, by one side's count."""

    up: U64 = 0  # bytes from the client
    down: U64 = 0  # bytes to the client
    milliseconds: U64 = 0  # in which service was given

    @property
    def bytes(self) -> int:
        return self.up + self.down

    @property
    def seconds(self) -> int:
        return self.milliseconds // 1000


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Meter:
    """Adds up an engine's counters and a clock, also over restarts of engine and agent.

    An engine's counters begin at 0 when a peer is added: one that fell was of a peer added anew.
    """

    usage: Usage = NO_USAGE
    up: U64 = 0  # the engine's counters when they were last read
    down: U64 = 0

    def read(self, up: int, down: int) -> "Meter":
        """With the engine's counters of a peer, as they are."""
        is_continued = up >= self.up and down >= self.down
        more_up, more_down = (up - self.up, down - self.down) if is_continued else (up, down)
        usage = replace(self.usage, up=self.usage.up + more_up, down=self.usage.down + more_down)
        return Meter(usage, up, down)

    def pass_time(self, milliseconds: int) -> "Meter":
        """With so much more time of service."""
        total = self.usage.milliseconds + milliseconds
        return replace(self, usage=replace(self.usage, milliseconds=total))

    def engine_credit(self, total_bytes: int) -> int:
        """Where the engine's own count has to stop for ``usage.bytes`` to stop at a total.

        CLOSED where not even a packet more would fit, ANY where there is no end.
        """
        if total_bytes >= UNLIMITED:
            return ANY
        left = total_bytes - self.usage.bytes
        return CLOSED if left < A_PACKET else left + self.up + self.down


NOTHING_COUNTED = Meter()


class Stopwatch:
    """Whole milliseconds while it runs; what is left of one stays for later."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def start(self, now: float) -> None:
        """Go on running, or start."""
        if self._since is None:
            self._since = now

    def stop(self) -> None:
        self._since = None

    def take(self, now: float) -> int:
        """What has passed since it was started or asked; a clock that went back adds nothing."""
        if self._since is None or now <= self._since:
            return 0
        milliseconds = int((now - self._since) * 1000)
        self._since += milliseconds / 1000
        return milliseconds


@dataclass(frozen=True, slots=True)
class Increment:
    """What a quote says of windows: the first, and the largest."""

    bytes: int
    seconds: int
    max_bytes: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class Window:
    """How far service may run ahead now."""

    bytes: int
    seconds: int
    grown_at: int = 0  # what was paid when it last grew

    @classmethod
    def first(cls, increment: Increment, paid: int = 0) -> Self:
        return cls(increment.bytes, increment.seconds, paid)

    def exposure(self, price: Price) -> int:
        """Base units that the provider risks; at least 1, or nothing could ever be served."""
        return max(1, price.cost(self.bytes, self.seconds))

    def after_payment(
        self, paid: int, price: Price, increment: Increment, rate: float, round_trip: float
    ) -> "Window":
        """Twice as large, where a whole window was paid since it grew, and the wire needs it.

        ``rate`` is in bytes a second, ``round_trip`` in seconds.
        """
        if paid - self.grown_at < self.exposure(price):
            return self
        needed = max(increment.bytes, _IN_FLIGHT * rate * round_trip)
        return Window(
            max(self.bytes, int(min(2 * self.bytes, needed, increment.max_bytes))),
            max(self.seconds, min(2 * self.seconds, increment.max_seconds)),
            paid,
        )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much a provider may count more than its client, who misses what the wire lost."""

    ppm: int

    def most(self, own: int) -> int:
        """The most that is paid for where we counted ``own``."""
        return own + own * self.ppm // _MILLION

    def payable(self, own: int, claimed: int, window: int) -> int:
        """What to pay for, of one kind.

        Our own count runs ahead of what the provider last claimed, but by no more than a window:
        what it never confirms is not paid for.  Its claim counts, up to the tolerance.
        """
        confirmed = min(own, claimed + window)
        return min(max(confirmed, claimed), self.most(own))

    def is_exceeded(self, own: int, claimed: int, window: int) -> bool:
        """Whether a claim cannot be honest: even a whole window in flight does not explain it."""
        return claimed > self.most(own) + window
