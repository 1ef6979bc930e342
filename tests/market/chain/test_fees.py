# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The offered gas price stays below the cap, and a replacement offers enough more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.chain.fees import GWEI, FeePolicy, Fees, offer, raise_offer
from fs_market.errors import FeeTooHigh

POLICY = FeePolicy(cap=100 * GWEI, min_tip=1, max_tip=2 * GWEI)
WEI = st.integers(0, 200 * GWEI)


@given(WEI, st.lists(WEI, max_size=5))
def test_an_offer_is_within_the_policy(base_fee: int, tips: list[int]) -> None:
    try:
        fees = offer(base_fee, tips, POLICY)
    except FeeTooHigh:
        assert base_fee + POLICY.max_tip > POLICY.cap
        return
    assert base_fee + fees.tip <= fees.limit <= POLICY.cap
    assert POLICY.min_tip <= fees.tip <= POLICY.max_tip


@given(WEI, WEI, WEI)
def test_a_replacement_is_taken_by_nodes_and_under_the_cap(limit: int, tip: int, base: int) -> None:
    stuck = Fees(limit, min(limit, tip))
    raised = raise_offer(stuck, Fees(base, min(base, 5)), POLICY)
    if raised is None:
        assert limit * 1.125 > POLICY.cap or base > POLICY.cap
        return
    # This is geth's rule in whole numbers: at least 110 % of both fees.
    assert raised.limit * 100 >= stuck.limit * 110
    assert raised.tip * 100 >= stuck.tip * 110
    assert raised.tip <= raised.limit <= POLICY.cap


def test_a_dear_chain_is_told_with_both_figures() -> None:
    with pytest.raises(FeeTooHigh, match="gas costs 150 gwei, more than the cap of 100"):
        offer(150 * GWEI - 1, [1], POLICY)
