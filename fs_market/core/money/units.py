# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Amounts of a token, of traffic and of time, and their text.

The program counts in whole base units; people read and write a number with a unit.  Money is never
a float: one token is ``10 ** decimals`` base units, and an amount is a count of base units.
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
    """An ERC-20 token with the symbol and the decimals by which people name its amounts.

    Raise AmountError if the symbol is not short and alphanumeric, or if there are too many
    decimals.
    """

    symbol: str
    decimals: int
    address: Address

    def __post_init__(self) -> None:
        fits = self.symbol.isascii() and self.symbol.isalnum() and len(self.symbol) <= _MAX_SYMBOL
        if not fits:
            raise AmountError(
                f"a token's symbol has up to {_MAX_SYMBOL} letters and digits; use another token"
            )
        if not 0 <= self.decimals <= _MAX_DECIMALS:
            raise AmountError(
                f"a token has 0 to {_MAX_DECIMALS} decimals, not {self.decimals}; use another token"
            )

    def parse(self, text: str) -> "Amount":
        """Parse ``1.25 USDC``; the symbol is required.

        Raise AmountError for any other text.  A number with more decimals than the token has is an
        error, too: it is not rounded.
        """
        number, unit = _split(text)
        if unit != self.symbol:
            raise AmountError(
                f"{text!r} is not an amount of {self.symbol}; write 1.5 {self.symbol}"
            )
        units = _scaled(number, 10**self.decimals)
        if units is None or units > MAX_AMOUNT:
            raise AmountError(f"{text!r} is not an amount; {self._remedy(number)}")
        return Amount(units, self)

    def _remedy(self, number: str) -> str:
        if "," in number:
            return f"write a point for the comma: 1.5 {self.symbol}"
        if number.startswith("-"):
            return f"it has to be above 0, such as 1.5 {self.symbol}"
        if len(number.partition(".")[2]) > self.decimals:
            return f"{self.symbol} has {self.decimals} decimals at most"
        return f"write a number up to {MAX_AMOUNT // 10**self.decimals}, such as 1.5 {self.symbol}"

    def format(self, units: int) -> str:
        """Return base units as exact text: ``1.25 USDC``."""
        return str(Amount(units, self))


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of base units of a token.

    You can add it to, and compare it with, amounts of the same token.  Raise AmountError if the
    other amount has another token.
    """

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
                f"{self.token.symbol} and {other.token.symbol} cannot be added; use one token"
            )
        return other.units


def parse_bytes(text: str) -> int:
    """Parse ``10 GiB``, ``512 MiB`` or ``100 B`` into bytes; raise AmountError otherwise."""
    return _parse(text, _BYTE_UNITS, "an amount of traffic; write 10 GiB or 512 MiB")


def format_bytes(count: int) -> str:
    """Return bytes as text, such as ``1.50 GiB``.

    The unit is the largest that gives a number of at least 1.  The number is rounded down to two
    decimals.
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= (size := _BYTE_UNITS[unit]):
            return f"{count // size}.{count % size * 100 // size:02d} {unit}"
    return f"{count} B"


def parse_seconds(text: str) -> int:
    """Parse ``2 h``, ``30 min`` or ``45 s`` into seconds; raise AmountError otherwise."""
    return _parse(text, _TIME_UNITS, "a time; write 2 h or 30 min")


def format_seconds(seconds: int) -> str:
    """Return seconds as text, such as ``1 h 2 min 3 s``, without units of which there are none."""
    parts = []
    for unit in ("d", "h", "min"):
        count, seconds = divmod(seconds, _TIME_UNITS[unit])
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts + ([f"{seconds} s"] if seconds or not parts else []))


def format_wait(seconds: int) -> str:
    """As ``format_seconds``, rounded up to hours from a day on, and to minutes from an hour on."""
    for unit, step in (("d", "h"), ("h", "min")):
        if seconds >= _TIME_UNITS[unit]:
            seconds = -(-seconds // _TIME_UNITS[step]) * _TIME_UNITS[step]
    return format_seconds(seconds)


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
    """Return a decimal number times ``factor``; None if it is no number or leaves a fraction."""
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
