# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keys hide themselves and are read in one form alone; endpoints and networks are numeric."""

import base64
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fs_wire.errors import UsageError
from fs_wire.types import (
    KEY_LEN,
    NO_PRESHARED_KEY,
    Endpoint,
    PresharedKey,
    PrivateKey,
    PublicKey,
    parse_network,
)

RAW_KEYS = st.binary(min_size=KEY_LEN, max_size=KEY_LEN)
KINDS = [PrivateKey, PresharedKey, PublicKey]
Key = PrivateKey | PresharedKey | PublicKey


@pytest.mark.parametrize("kind", KINDS)
@given(raw=RAW_KEYS)
def test_a_key_survives_both_spellings(kind: type[Key], raw: bytes) -> None:
    key = kind(raw)
    assert kind.from_base64(key.to_base64()) == key
    assert kind.from_hex(key.to_hex()) == key
    assert kind.from_hex(key.to_hex().upper()) == key
    assert key.to_base64() == base64.b64encode(raw).decode()


@pytest.mark.parametrize("kind", [PrivateKey, PresharedKey])
def test_a_secret_hides_from_every_way_to_print_it(kind: type[Key]) -> None:
    key = kind(os.urandom(KEY_LEN))
    for shown in (repr(key), str(key), f"{key}", f"{[key]}", f"{key!s:>80}"):
        assert key.to_base64() not in shown
        assert key.to_hex() not in shown
        assert repr(key.raw) not in shown


def test_a_public_key_is_shown_as_people_write_it() -> None:
    key = PublicKey(os.urandom(KEY_LEN))
    assert key.to_base64() in repr(key)


def test_keys_of_different_kinds_are_never_equal() -> None:
    raw = os.urandom(KEY_LEN)
    assert len({PrivateKey(raw), PresharedKey(raw), PublicKey(raw)}) == 3
    assert PublicKey(raw) == PublicKey(bytes(raw))


def test_no_preshared_key_is_all_zeroes() -> None:
    assert NO_PRESHARED_KEY.to_hex() == "0" * 64


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    raw = bytes(length)
    with pytest.raises(UsageError, match="32 bytes"):
        PrivateKey(raw)
    with pytest.raises(UsageError, match="44 characters"):
        PrivateKey.from_base64(base64.b64encode(raw).decode())
    with pytest.raises(UsageError, match="64 hexadecimal"):
        PrivateKey.from_hex(raw.hex())


def test_base64_has_one_spelling_of_a_key() -> None:
    text = PrivateKey(bytes(KEY_LEN)).to_base64()
    assert text.endswith("A=")
    for wrong in (
        text[:-2] + "B=",  # stray bits that a lax decoder drops
        text[:-1],
        text + "=",
        text + "\n",
        " " + text,
        text[:20] + " " + text[20:],
        "-_" + text[2:],  # the URL alphabet
        "é" + text[1:],
    ):
        with pytest.raises(UsageError):
            PrivateKey.from_base64(wrong)


def test_hexadecimal_has_no_room_for_anything_else() -> None:
    text = os.urandom(KEY_LEN).hex()
    for wrong in (text[:-1], text + "0", "0x" + text[2:], text[:-2] + "  ", "g" + text[1:]):
        with pytest.raises(UsageError):
            PublicKey.from_hex(wrong)


@given(st.text(min_size=9, max_size=43))
def test_whatever_is_no_key_raises_one_error_that_does_not_quote_it(text: str) -> None:
    for parse in (PrivateKey.from_base64, PrivateKey.from_hex):
        with pytest.raises(UsageError) as caught:
            parse(text)
        assert text not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("192.0.2.1", 51820),
        Endpoint("192.0.2.1", 1),
        Endpoint("2001:db8::1", 65535),
        Endpoint("fe80::1", 51820, scope_id=7),
    ],
    ids=str,
)
def test_an_endpoint_reads_what_it_writes(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint


def test_endpoints_are_written_as_wg_writes_them() -> None:
    assert str(Endpoint("192.0.2.1", 80)) == "192.0.2.1:80"
    assert str(Endpoint("2001:db8::1", 80)) == "[2001:db8::1]:80"
    assert str(Endpoint("fe80::1", 80, 3)) == "[fe80::1%3]:80"
    assert Endpoint.parse("[2001:DB8:0::1]:80") == Endpoint("2001:db8::1", 80)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "192.0.2.1", "192.0.2.1:", ":51820", "192.0.2.1:0", "192.0.2.1:65536"),
        *("192.0.2.1:-1", "192.0.2.1:+1", "192.0.2.1: 1", "192.0.2.1:1_0", "192.0.2.1:0x50"),
        *("192.0.2.1:\u0665", "192.0.2.256:1", "192.0.2:1", "010.0.0.1:1", "host.example:1"),
        *("2001:db8::1:51820", "[192.0.2.1]:1", "[2001:db8::1]", "[2001:db8::1]51820"),
        *("[2001:db8::1:1", "192.0.2.1%3:1", "[fe80::1%]:1", "[fe80::1%-1]:1", "[fe80::1%+1]:1"),
        *("[fe80::1%eth0]:1", "[fe80::1%4294967296]:1", "192.0.2.1:" + "0" * 5000 + "1"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"write 192\.0\.2\.1:51820 or \[2001:db8::1\]:51820"):
        Endpoint.parse(text)


@given(st.text(alphabet="0123456789abcdef:.[]%/+- ", max_size=40))
@example("[::1%1%2]:5")
def test_an_endpoint_is_parsed_to_what_it_writes_or_refused(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except UsageError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_loses_its_host_bits(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/ 8"),
        *("10.0.0.0/255.0.0.0", "10.0.0.0/0.0.0.255", "10.0.0.0/8/8", "10.0.0", "fe80::%eth0/64"),
        *("fe80::%$(reboot)/64", "host.example/32", "10.0.0.0/٨"),
    ],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its callers say what to write
        parse_network(text)
