# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The price of service: base units per GiB and per hour, added up once and rounded down once.

    cumulative = floor(bytes * per_gib / 2**30 + seconds * per_hour / 3600)

Both sides compute the cost from running totals, so that rounding errors never add up.
"""

from dataclasses import dataclass
from hashlib import sha256

from fs_market.core.money.units import GIB, HOUR, Token
from fs_market.core.wire.messages import QuoteTerms
from fs_market.errors import AmountError
from fs_wire.codec import encode

MAX_PRICE = 2**64 - 1  # base units per GiB or hour
UNLIMITED = 2**62  # bytes; more than any session carries

_GIB_HOURS = GIB * HOUR


@dataclass(frozen=True, slots=True)
class Price:
    """Base units per GiB (both directions together) and per hour of service.

    One of the two may be 0.  Raise AmountError if both are 0, or if one is above MAX_PRICE.
    """

    per_gib: int
    per_hour: int

    def __post_init__(self) -> None:
        if not all(0 <= each <= MAX_PRICE for each in (self.per_gib, self.per_hour)):
            raise AmountError(f"a price is 0 to {MAX_PRICE} base units; use another token")
        if self.per_gib == self.per_hour == 0:
            raise AmountError("a price is above 0 per GiB or per hour; serve without --market")

    @classmethod
    def of(cls, offer: QuoteTerms) -> "Price":
        """Return the price of a provider's offer."""
        return cls(offer.per_gib, offer.per_hour)

    @classmethod
    def parse(cls, text: str, token: Token) -> "Price":
        """Parse ``0.05 USDC/GiB``, ``0.01 USDC/h``, or both joined by `` + ``.

        Raise AmountError for any other text.
        """
        found: dict[str, int] = {}
        for part in text.split(" + "):
            amount, _, unit = part.partition("/")
            if unit not in ("GiB", "h") or unit in found:
                sample = f"0.05 {token.symbol}/GiB + 0.01 {token.symbol}/h"
                raise AmountError(
                    f"{text!r} is not a price; this market's token is {token.symbol} and its units "
                    f"are GiB and h: write {sample}"
                )
            found[unit] = token.parse(amount).units
        return cls(found.get("GiB", 0), found.get("h", 0))

    def format(self, token: Token) -> str:
        """Return the text that ``parse`` reads."""
        parts = [
            f"{token.format(units)}/{unit}"
            for units, unit in ((self.per_gib, "GiB"), (self.per_hour, "h"))
            if units
        ]
        return " + ".join(parts)

    @property
    def list_digest(self) -> bytes:
        """The SHA-256 of the price list, which stands in the Registry: 32 bytes.

        The list is the canonical CBOR of both prices.
        """
        return sha256(encode([self.per_gib, self.per_hour])).digest()

    def cost(self, total_bytes: int, seconds: int) -> int:
        """Return the base units for a total of bytes and seconds, rounded down."""
        return self._scaled_cost(total_bytes, seconds) // _GIB_HOURS

    def bytes_within(self, amount: int, seconds: int) -> int:
        """Return the most bytes that, with ``seconds``, cost no more than ``amount`` base units.

        Return -1 if the seconds alone cost more, and UNLIMITED if bytes are free.
        """
        # cost <= amount exactly when the scaled cost is below the next whole unit.
        left = (amount + 1) * _GIB_HOURS - 1 - self._scaled_cost(0, seconds)
        if left < 0:
            return -1
        if self.per_gib == 0:
            return UNLIMITED
        return min(UNLIMITED, left // (self.per_gib * HOUR))

    def is_within(self, other: "Price") -> bool:
        """Whether this price costs no more than ``other`` for any bytes and seconds."""
        return self.per_gib <= other.per_gib and self.per_hour <= other.per_hour

    def _scaled_cost(self, total_bytes: int, seconds: int) -> int:
        return total_bytes * self.per_gib * HOUR + seconds * self.per_hour * GIB
