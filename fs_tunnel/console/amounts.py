"""Amounts of money, as people and programs read them."""

from fs_market.core.money.units import Token

SCHEMA = 1
_ETHER = 10**18


def amount_json(units: int, token: Token) -> dict[str, str]:
    """Base units as a string, since JSON's numbers end at 53 bits, and as people read it."""
    return {"units": str(units), "text": token.format(units)}


def coin_text(wei: int) -> str:
    """An amount of the chain's own coin, rounded up to six places where it is no fee of nothing."""
    millionths = -(-wei * 10**6 // _ETHER)
    return f"{millionths // 10**6}.{millionths % 10**6:06}"
