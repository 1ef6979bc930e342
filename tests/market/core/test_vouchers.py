# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A voucher is accepted only if the contract would pay for it."""

import contextlib

import pytest
from coincurve import PrivateKey
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.vouchers import screen_untrusted, sign_voucher
from fs_market.core.money.vouchers import verify_untrusted as verify_voucher_untrusted
from fs_market.core.wire.channels import Voucher, channels_domain
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.signatures import (
    SigningKey,
    check_form,
    recover_untrusted,
    verify_untrusted,
)
from fs_market.errors import Reason, Refused, VoucherRefused

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = SigningKey(PrivateKey().secret)
CONTRACT = Address(keccak(b"contract")[12:])
DOMAIN = channels_domain(1, CONTRACT)
CHANNEL = keccak(b"channel")
DEPOSIT = 1000


def refusal(voucher: Voucher, *, accepted: int = 0) -> Reason | None:
    """Make all checks of a provider, in their order."""
    try:
        screen_untrusted(voucher, CHANNEL, DEPOSIT, accepted)
        verify_voucher_untrusted(voucher, DOMAIN, KEY.address)
    except VoucherRefused as error:
        return error.reason
    return None


def with_high_s(signature: bytes) -> bytes:
    """Return the other signature for the same key and digest, which anybody can compute from it."""
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


@pytest.mark.parametrize("cumulative", [1, DEPOSIT])
def test_an_honest_voucher(cumulative: int) -> None:
    assert refusal(sign_voucher(KEY, DOMAIN, CHANNEL, cumulative)) is None


def test_what_is_refused_and_why() -> None:
    good = sign_voucher(KEY, DOMAIN, CHANNEL, 500)
    sign = good.signature
    foreign = sign_voucher(KEY, DOMAIN, keccak(b"other"), 500)
    chain = sign_voucher(KEY, channels_domain(2, CONTRACT), CHANNEL, 500)
    elsewhere = sign_voucher(KEY, channels_domain(1, KEY.address), CHANNEL, 500)
    stranger = sign_voucher(SigningKey(PrivateKey().secret), DOMAIN, CHANNEL, 500)
    cases = {
        Reason.FOREIGN_CHANNEL: [foreign],
        Reason.NOTHING_NEW: [sign_voucher(KEY, DOMAIN, CHANNEL, 0)],
        Reason.OVER_DEPOSIT: [sign_voucher(KEY, DOMAIN, CHANNEL, DEPOSIT + 1)],
        Reason.BAD_SIGNATURE: [
            *(chain, elsewhere, stranger),
            Voucher(CHANNEL, 501, sign),
            *(
                Voucher(CHANNEL, 500, bad)
                for bad in (
                    *(b"", sign[:64], sign + b"\0", with_high_s(sign)),
                    *(sign[:64] + bytes([v]) for v in (0, 1, 2, 26, 29, 255)),
                    sign[:64] + bytes([55 - sign[64]]),
                    *(bytes(32) + sign[32:], sign[:32] + bytes(32) + sign[64:]),
                    b"\xff" * 32 + sign[32:],
                )
            ),
        ],
    }
    for reason, vouchers in cases.items():
        for voucher in vouchers:
            assert refusal(voucher) is reason, voucher
    assert refusal(good) is None


def test_a_replay_pays_nothing() -> None:
    voucher = sign_voucher(KEY, DOMAIN, CHANNEL, 500)
    assert refusal(voucher, accepted=500) is Reason.NOTHING_NEW
    assert refusal(voucher, accepted=501) is Reason.NOTHING_NEW
    assert refusal(voucher, accepted=499) is None


def test_the_screen_never_touches_the_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is checked before the signature."""
    monkeypatch.setattr("fs_market.core.wire.signatures.Secp256k1Point", None)
    foreign = Voucher(keccak(b"other"), 500, bytes(65))
    assert refusal(foreign) is Reason.FOREIGN_CHANNEL
    assert refusal(Voucher(CHANNEL, 500, bytes(65))) is Reason.BAD_SIGNATURE


def test_eth_account_takes_a_high_s_that_we_refuse() -> None:
    """This is why we check the form ourselves and do not rely on a library."""
    types = {
        "Voucher": [
            {"name": "channelId", "type": "bytes32"},
            {"name": "cumulative", "type": "uint96"},
        ]
    }
    domain = {
        "name": "FlowShield Channels",
        "version": "1",
        "chainId": 1,
        "verifyingContract": str(CONTRACT),
    }
    voucher = sign_voucher(KEY, DOMAIN, CHANNEL, 500)
    signable = encode_typed_data(domain, types, {"channelId": CHANNEL, "cumulative": 500})
    high = with_high_s(voucher.signature)
    assert Account.recover_message(signable, signature=high) == str(KEY.address)
    with pytest.raises(Refused, match="lower half"):
        check_form(high)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=70))
def test_any_bytes_are_a_signature_or_refused(digest: bytes, signature: bytes) -> None:
    with contextlib.suppress(Refused):
        assert recover_untrusted(digest, signature) != KEY.address


@given(st.binary(min_size=32, max_size=32), st.integers(0, 64 * 8 - 1))
def test_no_changed_bit_is_by_the_same_key(digest: bytes, bit: int) -> None:
    signature = bytearray(KEY.sign(digest))
    verify_untrusted(digest, bytes(signature), KEY.address)
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused, match="signature"):
        verify_untrusted(digest, bytes(signature), KEY.address)


def test_a_key_hides() -> None:
    secret = PrivateKey().secret
    shown = repr(SigningKey(secret))
    assert secret.hex() not in shown
    assert str(SigningKey(secret).address) in shown
