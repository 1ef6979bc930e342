# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The fees that a transaction offers for gas (EIP-1559), and the higher ones of a replacement."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from fs_market.errors import FeeTooHigh

GWEI = 10**9
# geth takes a replacement that offers a tenth more of both (txpool.pricebump); some chain nodes ask
# for an eighth.
_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 1125, 1000
# The base fee grows by at most an eighth in each block (EIP-1559), so a limit of twice the base fee
# lasts for at least six blocks.
_BASE_FEES = 2


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei per gas: at most ``limit`` in total, and at most ``tip`` for the block producer."""

    limit: int
    tip: int


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """The user's limits in wei per gas: ``cap`` in total, and two bounds of the tip."""

    cap: int = 200 * GWEI
    min_tip: int = GWEI // 10
    max_tip: int = 5 * GWEI


def offer(base_fee: int, tips: Sequence[int], policy: FeePolicy) -> Fees:
    """Return the first fees: the median tip, and room for the base fee to double.

    ``base_fee`` and ``tips`` are in wei per gas.  Raise FeeTooHigh if the next block costs more
    than the cap.
    """
    wanted = median_low(tips) if tips else 0
    tip = min(max(wanted, policy.min_tip), policy.max_tip)
    if base_fee + tip > policy.cap:
        raise FeeTooHigh(
            f"gas costs {(base_fee + tip) / GWEI:.3g} gwei, more than the cap of "
            f"{policy.cap / GWEI:.3g}; wait, or raise max_fee_gwei"
        )
    return Fees(min(_BASE_FEES * base_fee + tip, policy.cap), tip)


def raise_offer(stuck: Fees, wanted: Fees, policy: FeePolicy) -> Fees | None:
    """Return the fees of a replacement; None if the cap leaves no room for one."""
    raised = Fees(max(_bumped(stuck.limit), wanted.limit), max(_bumped(stuck.tip), wanted.tip))
    return raised if raised.limit <= policy.cap else None


def _bumped(amount: int) -> int:
    return -(-amount * _BUMP_NUMERATOR // _BUMP_DENOMINATOR)
