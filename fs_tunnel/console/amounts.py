# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Amounts of money, for people and for programs."""

from fs_market.core.money.units import Token

SCHEMA = 1
_ETHER = 10**18


def amount_json(units: int, token: Token) -> dict[str, str]:
    """An amount for programs and people.

    Base units are a string, because many readers of JSON have numbers of 53 bits only.
    """
    return {"units": str(units), "text": token.format(units)}


def coin_text(wei: int) -> str:
    """An amount of the chain's own coin, rounded up to six places, so that no fee shows as 0."""
    millionths = -(-wei * 10**6 // _ETHER)
    return f"{millionths // 10**6}.{millionths % 10**6:06}"
