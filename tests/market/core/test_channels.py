# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Ids and digests of channels agree with eth-account and eth-abi."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.wire.channels import (
    Terms,
    channel_id,
    channels_domain,
    close_digest,
    open_digest,
    voucher_digest,
)
from fs_market.core.wire.eip712 import encode_words
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.signatures import SigningKey
from tests.vectors import load

CASES = load("channels")["channels"]
FIELDS = {
    "payer": "address",
    "payee": "address",
    "sessionKey": "address",
    "window": "uint32",
    "expiresAt": "uint48",
    "order": "bytes32",
    "salt": "bytes32",
}
TYPE = [{"name": name, "type": kind} for name, kind in FIELDS.items()]
addresses = st.binary(min_size=20, max_size=20).map(Address)
hashes = st.binary(min_size=32, max_size=32)
terms_of = st.builds(
    Terms,
    *(addresses, addresses, addresses, st.integers(0, 2**32 - 1), st.integers(0, 2**48 - 1)),
    *(hashes, hashes),
)


def parse_terms(given: dict[str, Any]) -> Terms:
    return Terms(
        Address.parse(given["payer"]),
        Address.parse(given["payee"]),
        Address.parse(given["sessionKey"]),
        given["window"],
        given["expiresAt"],
        bytes.fromhex(given["order"]),
        bytes.fromhex(given["salt"]),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["seed"])
def test_known_answers(case: dict[str, Any]) -> None:
    domain = channels_domain(case["chain_id"], Address.parse(case["contract"]))
    terms, cumulative = parse_terms(case["terms"]), case["cumulative"]
    channel = channel_id(domain, terms)
    assert channel.hex() == case["channel_id"]
    assert voucher_digest(domain, channel, cumulative).hex() == case["voucher_digest"]
    assert close_digest(domain, channel, cumulative).hex() == case["close_digest"]
    opening = open_digest(domain, terms, case["amount"], case["deadline"])
    assert opening.hex() == case["open_digest"]
    key = SigningKey(keccak(case["seed"].encode()))
    assert key.address == terms.session_key
    voucher = sign_voucher(key, domain, channel, cumulative)
    assert voucher.signature.hex() == case["voucher_signature"]


def as_members(terms: Terms) -> dict[str, Any]:
    values = (
        *(terms.payer.raw, terms.payee.raw, terms.session_key.raw),
        *(terms.window, terms.expires_at, terms.order, terms.salt),
    )
    return dict(zip(FIELDS, values, strict=True))


@given(terms_of, st.integers(0, 2**256 - 1), addresses, st.integers(0, 2**96 - 1))
def test_eth_account_agrees(
    terms: Terms, chain_id: int, contract: Address, cumulative: int
) -> None:
    domain = channels_domain(chain_id, contract)
    members = as_members(terms)
    types = ["uint256", "address", *FIELDS.values()]
    channel = channel_id(domain, terms)
    assert channel == keccak(encode(types, [chain_id, contract.raw, *members.values()]))
    written = {
        "name": "FlowShield Channels",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": str(contract),
    }
    voucher = [{"name": "channelId", "type": "bytes32"}, {"name": "cumulative", "type": "uint96"}]
    opening = [
        {"name": "terms", "type": "Terms"},
        {"name": "amount", "type": "uint96"},
        {"name": "deadline", "type": "uint48"},
    ]
    promised = {"channelId": channel, "cumulative": cumulative}
    opened = {"terms": members, "amount": cumulative, "deadline": terms.expires_at}
    for ours, kinds, message in (
        (voucher_digest(domain, channel, cumulative), {"Voucher": voucher}, promised),
        (close_digest(domain, channel, cumulative), {"Close": voucher}, promised),
        (
            open_digest(domain, terms, cumulative, terms.expires_at),
            {"Open": opening, "Terms": TYPE},
            opened,
        ),
    ):
        signable = encode_typed_data(written, kinds, message)
        assert ours == keccak(b"\x19" + signable.version + signable.header + signable.body)


@given(terms_of, addresses)
def test_every_term_chain_and_contract_changes_the_name(terms: Terms, contract: Address) -> None:
    names = {
        channel_id(channels_domain(chain_id, at), each)
        for chain_id in (1, 2)
        for at in (contract, Address(keccak(contract.raw)[:20]))
        for each in (
            terms,
            Terms(
                *(terms.payer, terms.payee, terms.session_key, terms.window ^ 1),
                *(terms.expires_at, terms.order, terms.salt),
            ),
        )
    }
    assert len(names) == 8


def test_what_does_not_fit_a_word_is_an_error() -> None:
    with pytest.raises(ValueError, match="bytes32"):
        encode_words(b"short")
    with pytest.raises(OverflowError):
        encode_words(-1)
    with pytest.raises(OverflowError):
        encode_words(2**256)
