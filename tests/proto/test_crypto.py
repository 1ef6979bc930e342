# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The primitives against their standards' own vectors."""

from hashlib import blake2s
from typing import Any

import pytest

from fs_tunnel.proto import crypto
from fs_tunnel.proto.errors import AuthenticationFailed
from tests.vectors import load

VECTORS = load("primitives")


def test_x25519() -> None:
    vector = {k: bytes.fromhex(v) for k, v in VECTORS["x25519"].items() if k != "source"}
    assert crypto.dh(vector["scalar"], vector["u"]) == vector["shared"]
    assert crypto.public_key(vector["bob_private"]) == vector["bob_public"]
    assert crypto.dh(vector["bob_private"], vector["alice_public"]) == vector["alice_and_bob"]


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_a_point_of_low_order_is_refused(point: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        crypto.dh(bytes(range(32)), point)


@pytest.mark.parametrize("raw", [bytes(32), b"\xff" * 32, bytes(range(1, 33))])
def test_clamping_is_that_of_rfc_7748(raw: bytes) -> None:
    number = int.from_bytes(raw, "little")
    clamped = number // 8 * 8 % 2**254 + 2**254
    assert crypto.clamp(raw) == clamped.to_bytes(32, "little")


def test_clamping_changes_no_public_key() -> None:
    raw = bytes([0xFF] * 32)
    clamped = crypto.clamp(raw)
    assert (clamped[0] & 7, clamped[31] & 0xC0) == (0, 0x40)
    assert crypto.public_key(clamped) == crypto.public_key(raw)


def test_chacha20poly1305() -> None:
    vector = VECTORS["chacha20poly1305"]
    key, nonce, ad = (bytes.fromhex(vector[name]) for name in ("key", "nonce", "ad"))
    sealed = bytes.fromhex(vector["ciphertext"] + vector["tag"])
    counter = int.from_bytes(nonce[4:], "little")
    plaintext = crypto.aead_open(key, counter, sealed, ad)
    assert plaintext.decode().startswith(vector["plaintext_begins"])
    assert crypto.aead_seal(key, counter, plaintext, ad) == sealed
    for broken in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:10]):
        with pytest.raises(AuthenticationFailed):
            crypto.aead_open(key, counter, broken, ad)
    with pytest.raises(AuthenticationFailed):
        crypto.aead_open(key, counter + 1, sealed, ad)


def test_xchacha20poly1305() -> None:
    vector = VECTORS["xchacha20poly1305"]
    key, nonce, ad = (bytes.fromhex(vector[name]) for name in ("key", "nonce", "ad"))
    sealed = bytes.fromhex(vector["ciphertext"] + vector["tag"])
    assert crypto.xaead_seal(key, nonce, vector["plaintext"].encode(), ad) == sealed
    assert crypto.xaead_open(key, nonce, sealed, ad) == vector["plaintext"].encode()
    with pytest.raises(AuthenticationFailed):
        crypto.xaead_open(key, nonce, sealed, b"")


def test_blake2s() -> None:
    vector = VECTORS["blake2s"]
    assert crypto.hash32(b"a", b"bc").hex() == vector["digest"]
    assert vector["input"] == "abc"


def test_mac_is_keyed_blake2s_of_16_bytes_and_not_a_cut_one() -> None:
    vector = VECTORS["keyed_blake2s_128"]
    key = bytes.fromhex(vector["key"])
    for length, digest in vector["digests"].items():
        message = bytes(range(int(length)))
        assert crypto.mac16(key, message[:1], message[1:]).hex() == digest
    # The length of a BLAKE2 digest is part of its parameters.
    assert crypto.mac16(key, b"") != blake2s(key=key).digest()[:16]


def test_hmac_is_rfc_2104_and_not_the_keyed_mode() -> None:
    key, message = bytes(range(32)), b"message"
    inner = blake2s(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + message).digest()
    outer = blake2s(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).digest()
    assert crypto.hmac32(key, message) == outer


@pytest.mark.parametrize("case", VECTORS["kdf"]["cases"])
def test_the_kdfs_are_one_chain(case: dict[str, Any]) -> None:
    key, data = bytes.fromhex(case["key"]), bytes.fromhex(case["input"])
    first, second, third = (bytes.fromhex(each) for each in case["outputs"])
    assert crypto.kdf1(key, data) == first
    assert crypto.kdf2(key, data) == (first, second)
    assert crypto.kdf3(key, data) == (first, second, third)
