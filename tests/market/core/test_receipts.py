# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Receipts: their digest, their chain, and receipts that do not belong to it."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.wire.ethereum import keccak
from fs_market.core.wire.messages import end_digest, offer_digest, session_digest
from fs_market.core.wire.receipts import (
    FIRST_RECEIPT,
    Receipt,
    bucket_of,
    check_follows_untrusted,
    pack_rates,
    receipt_digest,
    unpack_rates,
)
from fs_market.errors import Reason, Refused
from fs_wire.types import PublicKey
from tests.market.core.world import DOMAIN

CHANNEL = keccak(b"channel")
RATES = pack_rates([0] * 6 + [60] + [0] * 9)
FIRST = Receipt(CHANNEL, 0, FIRST_RECEIPT, 1000, 2000, 60, RATES, demand_limited=True)
SECOND = Receipt(
    *(CHANNEL, 1, receipt_digest(DOMAIN, FIRST), 1000, 2500, 120, RATES), demand_limited=False
)


def typed(name: str, members: dict[str, tuple[str, Any]]) -> bytes:
    """Return what eth-account makes of a struct in our domain."""
    domain = {
        "name": "FlowShield Channels",
        "version": "1",
        "chainId": DOMAIN.chain_id,
        "verifyingContract": str(DOMAIN.contract),
    }
    types = [{"name": member, "type": kind} for member, (kind, _) in members.items()]
    values = {member: value for member, (_, value) in members.items()}
    signable = encode_typed_data(domain, {name: types}, values)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize("receipt", [FIRST, SECOND])
def test_eth_account_agrees_on_a_receipt(receipt: Receipt) -> None:
    members = {
        "channelId": ("bytes32", receipt.channel),
        "epoch": ("uint32", receipt.epoch),
        "previous": ("bytes32", receipt.previous),
        "upBytes": ("uint64", receipt.up),
        "downBytes": ("uint64", receipt.down),
        "activeSeconds": ("uint32", receipt.seconds),
        "rates": ("bytes32", receipt.rates),
        "demandLimited": ("bool", receipt.demand_limited),
    }
    assert receipt_digest(DOMAIN, receipt) == typed("Receipt", members)


def test_eth_account_agrees_on_offers_and_sessions() -> None:
    key = PublicKey(keccak(b"key"))
    assert offer_digest(DOMAIN, CHANNEL) == typed("Offer", {"order": ("bytes32", CHANNEL)})
    channel: dict[str, tuple[str, Any]] = {"channelId": ("bytes32", CHANNEL)}
    members = channel | {"wireguardKey": ("bytes32", key.raw), "number": ("uint32", 7)}
    assert session_digest(DOMAIN, CHANNEL, key, 7) == typed("Session", members)
    members = channel | {
        "reason": ("uint16", 20),
        "final": ("bool", True),
        "paid": ("uint96", 12345),
    }
    assert end_digest(DOMAIN, CHANNEL, 20, 12345, final=True) == typed("End", members)


def test_a_chain_of_two() -> None:
    check_follows_untrusted(FIRST, None, FIRST_RECEIPT)
    check_follows_untrusted(SECOND, FIRST, receipt_digest(DOMAIN, FIRST))


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 0},
        {"epoch": 2},
        {"previous": FIRST_RECEIPT},
        {"previous": keccak(b"other")},
        {"up": 999},
        {"down": 1999},
        {"seconds": 59},
        {"rates": pack_rates([61] + [0] * 15)},
    ],
)
def test_what_does_not_follow_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        check_follows_untrusted(replace(SECOND, **changes), FIRST, receipt_digest(DOMAIN, FIRST))
    assert caught.value.reason is Reason.BAD_RECEIPT


@given(st.lists(st.integers(0, 2**16 - 1), min_size=16, max_size=16))
def test_a_histogram_survives(counts: list[int]) -> None:
    assert unpack_rates(pack_rates(counts)) == counts


def test_a_full_bucket_stays_full() -> None:
    assert unpack_rates(pack_rates([10**6] + [0] * 15))[0] == 65535


@pytest.mark.parametrize(
    ("rate", "bucket"),
    [(0, 0), ((1 << 14) - 1, 0), (1 << 14, 1), (1 << 28, 15), ((1 << 28) - 1, 14), (1 << 40, 15)],
)
def test_buckets(rate: int, bucket: int) -> None:
    assert bucket_of(rate) == bucket
