"""What service costs: base units per GiB and per hour, added up once and rounded down once.

    cumulative = floor(bytes * per_gib / 2**30 + seconds * per_hour / 3600)

Both sides compute it from running totals, so that rounding never adds up.
"""

from dataclasses import dataclass
from hashlib import sha256

from fs_market.core.money.units import GIB, HOUR, Token
from fs_market.errors import AmountError
from fs_wire.codec import encode

MAX_PRICE = 2**64 - 1  # base units per GiB or hour
UNLIMITED = 2**62  # bytes; more than any session carries

_GIB_HOURS = GIB * HOUR


@dataclass(frozen=True, slots=True)
class Price:
    """Base units per GiB (both directions together) and per hour of service; one may be 0."""

    per_gib: int
    per_hour: int

    def __post_init__(self) -> None:
        if not all(0 <= each <= MAX_PRICE for each in (self.per_gib, self.per_hour)):
            raise AmountError(f"a price is 0 to {MAX_PRICE} base units; use another token")
        if self.per_gib == self.per_hour == 0:
            raise AmountError("a price is above 0 per GiB or per hour; serve without --market")

    @classmethod
    def parse(cls, text: str, token: Token) -> "Price":
        """Parse ``0.05 USDC/GiB``, ``0.01 USDC/h``, or both joined by `` + ``; AmountError else."""
        found: dict[str, int] = {}
        for part in text.split(" + "):
            amount, _, unit = part.partition("/")
            if unit not in ("GiB", "h") or unit in found:
                sample = f"0.05 {token.symbol}/GiB + 0.01 {token.symbol}/h"
                raise AmountError(f"{text!r} is not a price; write {sample}")
            found[unit] = token.parse(amount).units
        return cls(found.get("GiB", 0), found.get("h", 0))

    def format(self, token: Token) -> str:
        """As ``parse`` reads it."""
        parts = [
            f"{token.format(units)}/{unit}"
            for units, unit in ((self.per_gib, "GiB"), (self.per_hour, "h"))
            if units
        ]
        return " + ".join(parts)

    @property
    def list_digest(self) -> bytes:
        """SHA-256 of the price list, which is both prices as canonical CBOR; in the Registry."""
        return sha256(encode([self.per_gib, self.per_hour])).digest()

    def cost(self, total_bytes: int, seconds: int) -> int:
        """Base units owed for so much service since the start, rounded down."""
        return self._scaled_cost(total_bytes, seconds) // _GIB_HOURS

    def bytes_within(self, amount: int, seconds: int) -> int:
        """The most bytes that, with ``seconds``, cost no more than ``amount``.

        -1 where the seconds alone cost more; UNLIMITED where bytes are free.
        """
        # cost <= amount exactly when the scaled cost is below the next whole unit.
        left = (amount + 1) * _GIB_HOURS - 1 - self._scaled_cost(0, seconds)
        if left < 0:
            return -1
        if self.per_gib == 0:
            return UNLIMITED
        return min(UNLIMITED, left // (self.per_gib * HOUR))

    def is_within(self, other: "Price") -> bool:
        """Whether this costs no more than ``other``, whatever is used."""
        return self.per_gib <= other.per_gib and self.per_hour <= other.per_hour

    def _scaled_cost(self, total_bytes: int, seconds: int) -> int:
        return total_bytes * self.per_gib * HOUR + seconds * self.per_hour * GIB
