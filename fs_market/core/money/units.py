"""Amounts of a token, of traffic and of time: whole base units inside, text with a unit outside.

Money is never a float: one token is ``10 ** decimals`` base units, and an amount is a count of
them.
"""

from dataclasses import dataclass
from typing import Self

from fs_market.core.wire.ethereum import Address
from fs_market.errors import AmountError

GIB = 1 << 30
MIB = 1 << 20
HOUR = 3600
MAX_AMOUNT = 2**96 - 1  # base units; the contracts' uint96
_MAX_DECIMALS = 36
_MAX_SYMBOL = 16
_MAX_TEXT = 80

_BYTE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": GIB, "TiB": 1 << 40}
_TIME_UNITS = {"s": 1, "min": 60, "h": HOUR, "d": 24 * HOUR}


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 token as people name it."""

    symbol: str
    decimals: int
    address: Address

    def __post_init__(self) -> None:
        fits = self.symbol.isascii() and self.symbol.isalnum() and len(self.symbol) <= _MAX_SYMBOL
        if not fits:
            raise AmountError(f"a token's symbol is up to {_MAX_SYMBOL} letters and digits")
        if not 0 <= self.decimals <= _MAX_DECIMALS:
            raise AmountError(f"a token has 0 to {_MAX_DECIMALS} decimals, not {self.decimals}")

    def parse(self, text: str) -> "Amount":
        """Parse ``1.25 USDC``, the unit required; AmountError for anything else.

        More decimals than the token has are refused rather than rounded.
        """
        number, unit = _split(text)
        if unit != self.symbol:
            raise AmountError(
                f"{text!r} is not an amount of {self.symbol}; write 1.5 {self.symbol}"
            )
        units = _scaled(number, 10**self.decimals)
        if units is None or units > MAX_AMOUNT:
            raise AmountError(
                f"{text!r} is not an amount; {self.symbol} has {self.decimals} decimals "
                f"and at most {MAX_AMOUNT // 10**self.decimals} can be named"
            )
        return Amount(units, self)

    def format(self, units: int) -> str:
        """Base units as text, exactly: ``1.25 USDC``."""
        return str(Amount(units, self))


@dataclass(frozen=True, slots=True)
class Amount:
    """So many base units of a token; adds to, and compares with, amounts of the same token."""

    units: int
    token: Token

    def __add__(self, other: Self) -> Self:
        return type(self)(self.units + self._same(other), self.token)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.units - self._same(other), self.token)

    def __lt__(self, other: Self) -> bool:
        return self.units < self._same(other)

    def __le__(self, other: Self) -> bool:
        return self.units <= self._same(other)

    def __str__(self) -> str:
        return f"{_decimal(self.units, self.token.decimals)} {self.token.symbol}"

    def _same(self, other: Self) -> int:
        if other.token != self.token:
            raise AmountError(
                f"{self.token.symbol} and {other.token.symbol} do not add up; use one token"
            )
        return other.units


def parse_bytes(text: str) -> int:
    """Parse ``10 GiB``, ``512 MiB`` or ``100 B``; AmountError for anything else."""
    return _parse(text, _BYTE_UNITS, "an amount of traffic; write 10 GiB or 512 MiB")


def format_bytes(count: int) -> str:
    """In the largest unit that leaves a number of at least 1, two decimals at most, rounded down.

    ``1.50 GiB``
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= (size := _BYTE_UNITS[unit]):
            return f"{count // size}.{count % size * 100 // size:02d} {unit}"
    return f"{count} B"


def parse_seconds(text: str) -> int:
    """Parse ``2 h``, ``30 min`` or ``45 s``; AmountError for anything else."""
    return _parse(text, _TIME_UNITS, "a time; write 2 h or 30 min")


def format_seconds(seconds: int) -> str:
    """As ``1 h 2 min 3 s``, without what is zero."""
    parts = []
    for unit in ("d", "h", "min"):
        count, seconds = divmod(seconds, _TIME_UNITS[unit])
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts + ([f"{seconds} s"] if seconds or not parts else []))


def _parse(text: str, units: dict[str, int], what: str) -> int:
    number, unit = _split(text)
    scaled = _scaled(number, units[unit]) if unit in units else None
    if scaled is None or scaled >= 2**63:
        raise AmountError(f"{text!r} is not {what}")
    return scaled


def _split(text: str) -> tuple[str, str]:
    number, _, unit = text[:_MAX_TEXT].partition(" ")
    return number, unit


def _scaled(number: str, factor: int) -> int | None:
    """A decimal number times ``factor``; None where it is no number or leaves a fraction."""
    whole, point, fraction = number.partition(".")
    digits = whole + fraction
    if not (whole and digits.isascii() and digits.isdigit() and bool(point) == bool(fraction)):
        return None
    scaled, rest = divmod(int(digits) * factor, 10 ** len(fraction))
    return None if rest else scaled


def _decimal(units: int, decimals: int) -> str:
    sign, digits = "-" if units < 0 else "", str(abs(units)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    fraction = fraction.rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole
