# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keys: encrypted, or for one channel only; readable by their owner only, and never shown."""

import asyncio
import json
import os
import stat
import traceback
from pathlib import Path

import pytest
from eth_account import Account as EthAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st

from fs_market.chain.fees import Fees
from fs_market.chain.transactions import Call
from fs_market.core.wire.ethereum import Address
from fs_market.errors import WalletError, WrongPassword
from fs_market.money import wallet as keystores
from fs_market.money.wallet import SessionKeys, Wallet, parse_secret
from tests.market.parties import new_wallet

COST = keystores._SCRYPT_N  # the real cost, which the tests lower
PASSWORD = os.urandom(8).hex()


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one guess take a moment instead of most of a second."""
    monkeypatch.setattr(keystores, "_SCRYPT_N", 2**4)


def test_a_keystore_is_what_other_wallets_read(tmp_path: Path) -> None:
    secret, path = os.urandom(32), tmp_path / "deep" / "wallet.json"
    kept = asyncio.run(keystores.create(path, secret, PASSWORD))
    assert decode_keyfile_json(json.loads(path.read_text()), PASSWORD.encode()) == secret
    assert str(kept.address) == EthAccount.from_key(secret).address
    assert keystores.address_of(path) == kept.address
    assert asyncio.run(keystores.unlock(path, PASSWORD)).address == kept.address
    assert secret.hex() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["wallet.json"]


def test_its_cost_is_that_of_other_wallets() -> None:
    assert COST == 2**18


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_keystores_of_other_wallets_are_read(kdf: str, tmp_path: Path) -> None:
    secret, path = os.urandom(32), tmp_path / "theirs"
    theirs = create_keyfile_json(secret, PASSWORD.encode(), 3, kdf, 16)  # type: ignore[arg-type]
    theirs["Crypto"] = theirs.pop("crypto")  # some programs write it like this
    path.write_text(json.dumps(theirs))
    assert asyncio.run(keystores.open_keystore(path, PASSWORD)) == secret


def test_a_wrong_password_says_so_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w"
    asyncio.run(keystores.create(path, os.urandom(32), PASSWORD))
    wrong = os.urandom(8).hex()
    with pytest.raises(WrongPassword, match="does not open") as refused:
        asyncio.run(keystores.unlock(path, wrong))
    assert wrong not in "".join(traceback.format_exception(refused.value))


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "w"
    asyncio.run(keystores.create(path, os.urandom(32), PASSWORD))
    before = path.read_bytes()
    with pytest.raises(WalletError, match="never overwritten"):
        asyncio.run(keystores.create(path, os.urandom(32), PASSWORD))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def huge(**params: object) -> bytes:
    crypto = {"kdf": "scrypt", "kdfparams": {"n": 16, "r": 8, "p": 1, **params}}
    return json.dumps({"version": 3, "crypto": crypto}).encode()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b'{"crypto": 5}', b"\xff", b"[" * 60_000, b" " * 100_000),
        *(huge(n=2**40), huge(n="x"), huge(r=10**9), huge(p=10**9), huge(c=10**12), huge()),
        *(huge(n=0), huge(n=-1), huge(n=1.5)),
    ],
)
def test_what_is_no_keystore_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(WalletError, match="name another file"):
        asyncio.run(keystores.open_keystore(path, PASSWORD))


@pytest.mark.parametrize("text", ["", "0x", "12", "g" * 64, "0x" + "0" * 64, "f" * 64, " " * 64])
def test_what_is_no_key_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(WalletError, match="copy 64") as refused:
        Wallet(parse_secret(text))
    assert text[:8] not in str(refused.value) or not text.strip("0x ")


def test_no_key_is_shown() -> None:
    secret = os.urandom(32)
    wallet, shown = Wallet(secret), ""
    shown += repr(wallet) + str(wallet) + repr([wallet]) + f"{wallet}"
    assert secret.hex() not in shown
    assert str(int.from_bytes(secret, "big")) not in shown
    assert "hidden" in repr(wallet)


def test_a_transaction_is_for_one_chain_and_by_this_key() -> None:
    wallet, bob = new_wallet(), Address(b"\xbb" * 20)
    signed = wallet.sign_transaction(7, Call(bob, b"\1", 5), 21_000, 3, Fees(20, 2))
    assert EthAccount.recover_transaction(signed.raw) == str(wallet.address)
    fields = TypedTransaction.from_bytes(HexBytes(signed.raw)).as_dict()
    assert {key: fields[key] for key in ("chainId", "nonce", "gas", "value")} == {
        "chainId": 7,
        "nonce": 3,
        "gas": 21_000,
        "value": 5,
    }
    assert (fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]) == (20, 2)


@given(
    *(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**63)),
    *(st.none() | st.binary(min_size=20, max_size=20), st.integers(0, 2**128), st.binary()),
    *(st.integers(1, 2**128), st.integers(0, 2**64)),
)
def test_a_transaction_is_signed_as_eth_account_signs_it(
    chain_id: int,
    nonce: int,
    gas: int,
    receiver: bytes | None,
    value: int,
    data: bytes,
    limit: int,
    tip: int,
) -> None:
    secret = b"\1" * 32
    call = Call(Address(receiver) if receiver else None, data, value)
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "maxFeePerGas": limit,
        "maxPriorityFeePerGas": tip,
        "value": value,
        "data": data,
    }
    if call.receiver is not None:
        fields["to"] = str(call.receiver)
    theirs = EthAccount.sign_transaction(fields, secret)
    ours = Wallet(secret).sign_transaction(chain_id, call, gas, nonce, Fees(limit, tip))
    assert (ours.raw, ours.hash) == (bytes(theirs.raw_transaction), bytes(theirs.hash))


def test_a_session_key_has_a_file_of_its_own(tmp_path: Path) -> None:
    keys = SessionKeys(tmp_path / "sessions")
    one, other = keys.add(os.urandom(32)), keys.add(os.urandom(32))
    assert keys.get(one.address).sign(b"\1" * 32) == one.sign(b"\1" * 32)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "sessions").iterdir()} == {
        0o600
    }
    keys.remove(one.address)
    keys.remove(one.address)
    with pytest.raises(WalletError, match="close its channel"):
        keys.get(one.address)
    assert keys.get(other.address).address == other.address
