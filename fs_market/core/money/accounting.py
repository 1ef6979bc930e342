# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Credit windows: how far service may run ahead of payment, and how much the client owes for it.

Theory of operation.  The client pays for service after it was given.  The provider lets service run
ahead of the vouchers by one credit window: a number of bytes, and the seconds that they may take.
A window is an amount of money, the price of both.  Credit ends when that amount is used up.  The
first window is one increment, and it stays so until the chain has finalised the channel.  From
then on, the window doubles whenever the client has paid for a whole window since it last grew.  It
stops at about four times the bytes that the wire holds in a round trip.  So a provider never trusts
a client with more than the client has paid before, except for the first increment.

The engine enforces bytes by its own count: it stops a peer when ``credit_used`` reaches ``credit``.
"""

from dataclasses import dataclass, replace
from typing import Self

from fs_market.core.money.prices import UNLIMITED, Price
from fs_market.core.wire.schema import U64

ANY = 0  # the engine reads this credit as: without limit
CLOSED = 1  # byte: the engine's smallest limit, which no packet fits
A_PACKET = 2048  # bytes: with less credit than this, no packet passes
_MILLION = 1_000_000
_IN_FLIGHT = 4  # a window may hold the bytes of this many round trips


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Event: limit the peer in the engine.  Both numbers are bytes, in the engine's own count.

    The payment port is exempt.
    """

    credit: int  # 0: without limit
    credit_low: int  # call ``count`` again when this many bytes are left


@dataclass(frozen=True, slots=True)
class Usage:
    """The service since a session began, by one side's count."""

    up: U64 = 0  # bytes from the client
    down: U64 = 0  # bytes to the client
    milliseconds: U64 = 0  # in which service was given

    @property
    def bytes(self) -> int:
        """Bytes in both directions together."""
        return self.up + self.down

    @property
    def seconds(self) -> int:
        """Whole seconds, rounded down."""
        return self.milliseconds // 1000


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Meter:
    """Adds up an engine's counters and a clock, also across restarts of the engine and the agent.

    An engine's counters begin at 0 when a peer is added.  If a counter fell, the peer was added
    again.
    """

    usage: Usage = NO_USAGE
    up: U64 = 0  # the engine's counters in bytes, when they were last read
    down: U64 = 0

    def read(self, up: int, down: int) -> "Meter":
        """Return the meter after it has read the engine's counters of a peer."""
        is_continued = up >= self.up and down >= self.down
        more_up, more_down = (up - self.up, down - self.down) if is_continued else (up, down)
        usage = replace(self.usage, up=self.usage.up + more_up, down=self.usage.down + more_down)
        return Meter(usage, up, down)

    def pass_time(self, milliseconds: int) -> "Meter":
        """Return the meter after more time in which service was given."""
        total = self.usage.milliseconds + milliseconds
        return replace(self, usage=replace(self.usage, milliseconds=total))

    def engine_credit(self, total_bytes: int) -> int:
        """Return the engine's count at which ``usage.bytes`` reaches ``total_bytes``.

        Return CLOSED if no further packet fits, and ANY if the total is UNLIMITED.
        """
        if total_bytes >= UNLIMITED:
            return ANY
        left = total_bytes - self.usage.bytes
        return CLOSED if left < A_PACKET else left + self.up + self.down


NOTHING_COUNTED = Meter()


class Stopwatch:
    """Counts whole milliseconds while it runs; it keeps the rest of one for the next time."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def start(self, now: float) -> None:
        """Start, unless it runs already."""
        if self._since is None:
            self._since = now

    def stop(self) -> None:
        """Stop; time that nobody has taken yet is lost."""
        self._since = None

    def take(self, now: float) -> int:
        """Return the milliseconds since the start, or since the last call.

        Return 0 if the clock went back.
        """
        if self._since is None or now <= self._since:
            return 0
        milliseconds = int((now - self._since) * 1000)
        self._since += milliseconds / 1000
        return milliseconds


@dataclass(frozen=True, slots=True)
class Increment:
    """The first and the largest credit window of a quote."""

    bytes: int
    seconds: int
    max_bytes: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class Window:
    """A credit window: how far service may run ahead of payment now."""

    bytes: int
    seconds: int
    grown_at: int = 0  # base units that were paid when it last grew

    @classmethod
    def first(cls, increment: Increment, paid: int = 0) -> Self:
        """Return the first window of a session; ``paid`` is in base units."""
        return cls(increment.bytes, increment.seconds, paid)

    def exposure(self, price: Price) -> int:
        """Return the base units that the provider risks.

        They are at least 1: with a window of no worth, service could never begin.
        """
        return max(1, price.cost(self.bytes, self.seconds))

    def after_payment(
        self, paid: int, price: Price, increment: Increment, rate: float, round_trip: float
    ) -> "Window":
        """Return the window after a payment.

        It doubles if a whole window was paid since it last grew, and if the wire needs more.
        ``paid`` is the total in base units, ``rate`` is in bytes per second, ``round_trip`` in
        seconds.
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
    """How much more a provider may count than its client, in millionths.

    The client does not see the datagrams that were lost on their way to it.
    """

    ppm: int

    def most(self, own: int) -> int:
        """Return the most that the client pays for if it counted ``own``."""
        return own + own * self.ppm // _MILLION

    def payable(self, own: int, claimed: int, window: int) -> int:
        """Return the number of bytes, or of seconds, that the client has to pay for.

        The client's own count may be ahead of the provider's last claim by one window: the client
        pays for no more than that unconfirmed.  A higher claim counts, up to the tolerance.
        """
        confirmed = min(own, claimed + window)
        return min(max(confirmed, claimed), self.most(own))

    def is_exceeded(self, own: int, claimed: int, window: int) -> bool:
        """Whether a claim is dishonest: even a whole window in flight does not explain it."""
        return claimed > self.most(own) + window
