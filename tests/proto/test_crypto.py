"""The primitives against their standards' own vectors."""

from hashlib import blake2s

import pytest

from fs_tunnel.errors import AuthenticationFailed
from fs_tunnel.proto import crypto
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
    whole = blake2s(b"message", key=bytes(range(32))).digest()
    mac = crypto.mac16(bytes(range(32)), b"mess", b"age")
    assert len(mac) == 16
    assert mac != whole[:16]  # the length of a BLAKE2 digest is part of its parameters


def test_hmac_is_rfc_2104_and_not_the_keyed_mode() -> None:
    key, message = bytes(range(32)), b"message"
    inner = blake2s(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + message).digest()
    outer = blake2s(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).digest()
    assert crypto.hmac32(key, message) == outer


def test_the_kdfs_are_one_chain() -> None:
    key, data = bytes(range(32)), b"input"
    secret = crypto.hmac32(key, data)
    first = crypto.hmac32(secret, b"\1")
    second = crypto.hmac32(secret, first + b"\2")
    third = crypto.hmac32(secret, second + b"\3")
    assert crypto.kdf1(key, data) == first
    assert crypto.kdf2(key, data) == (first, second)
    assert crypto.kdf3(key, data) == (first, second, third)
