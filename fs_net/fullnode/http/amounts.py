# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Amounts of the market's token in the form that people read and write; exact, never a float."""

from fs_net.fullnode.catalogue import Token

MAX_AMOUNT = 2**96 - 1  # base units
_MAX_TEXT = 60  # characters


def format_amount(units: int, token: Token) -> str:
    """Write an amount with its token: ``1.25 USDC``."""
    return f"{decimal(units, token)} {token.symbol}"


def decimal(units: int, token: Token, places: int = 0) -> str:
    """Write the number alone, with at least ``places`` decimals and no more than it needs."""
    digits = str(units).rjust(token.decimals + 1, "0")
    whole, fraction = digits[: len(digits) - token.decimals], digits[len(digits) - token.decimals :]
    fraction = fraction.rstrip("0").ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole


def places_of(units: int, token: Token) -> int:
    """Return the number of decimals that an amount needs."""
    return len(decimal(units, token).partition(".")[2])


def parse_amount(text: str, token: Token) -> int:
    """Parse ``0.05`` or ``0.05 USDC`` into base units; ValueError explains the form.

    It refuses more decimals than the token has, and never rounds.
    """
    number, _, unit = text.strip().partition(" ")
    whole, point, fraction = number.partition(".")
    digits = whole + fraction
    is_number = (
        len(text) <= _MAX_TEXT
        and whole != ""
        and digits.isascii()
        and digits.isdigit()
        and bool(point) == bool(fraction)
        and len(fraction) <= token.decimals
    )
    if not is_number or unit not in ("", token.symbol):
        raise ValueError(
            f"write an amount of {token.symbol} with at most {token.decimals} decimals, such as "
            f"0.05 {token.symbol}"
        )
    units = int(digits + "0" * (token.decimals - len(fraction)))
    if units > MAX_AMOUNT:
        raise ValueError(f"write at most {MAX_AMOUNT // 10**token.decimals} {token.symbol}")
    return units
