"""Amounts of the market's token as people write and read them; exact, never a float."""

from fs_net.fullnode.catalogue import Token

MAX_AMOUNT = 2**96 - 1  # base units
_MAX_TEXT = 60  # characters


def format_amount(units: int, token: Token) -> str:
    """All of it: ``1.25 USDC``."""
    return f"{decimal(units, token)} {token.symbol}"


def decimal(units: int, token: Token, places: int = 0) -> str:
    """The number alone, with at least so many places and no more than are needed."""
    digits = str(units).rjust(token.decimals + 1, "0")
    whole, fraction = digits[: len(digits) - token.decimals], digits[len(digits) - token.decimals :]
    fraction = fraction.rstrip("0").ljust(places, "0")
    return f"{whole}.{fraction}" if fraction else whole


def places_of(units: int, token: Token) -> int:
    """How many places behind the point it takes."""
    return len(decimal(units, token).partition(".")[2])


def parse_amount(text: str, token: Token) -> int:
    """``0.05`` or ``0.05 USDC`` in base units; ValueError says how it is written.

    More places than the token has are refused rather than rounded.
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
        raise ValueError(f"name less than {MAX_AMOUNT // 10**token.decimals} {token.symbol}")
    return units
