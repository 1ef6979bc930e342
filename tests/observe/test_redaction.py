# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What is hidden, by a property: whatever secrets go in, wherever they stand, none comes out."""

import base64
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.observe.redaction import Redactor

REDACTOR = Redactor(bytes(32), ["vpn.customer.example", "customer.example"])
KEYS = st.binary(min_size=32, max_size=32)
# No address is of a network that everybody has, or so short that any text contains it.
ADDRESSES_V4 = st.integers(0x0B000001, 0x637FFFFF).map(IPv4Address)
ADDRESSES_V6 = st.integers(1 << 124, (1 << 127) - 1).map(IPv6Address)


def spellings_of_key(raw: bytes) -> list[str]:
    text = base64.b64encode(raw).decode()
    return [text, text.rstrip("="), raw.hex(), raw.hex().upper()]


def spellings_of_address(address: IPv4Address | IPv6Address) -> list[str]:
    if isinstance(address, IPv4Address):
        return [str(address), f"::ffff:{address}"]
    return [str(address), address.exploded, str(address).upper()]


CONTEXTS = st.sampled_from(
    [
        "{}", "private_key={}", "key {} of", '"{}"', "'{}',", "<{}>", "({})", "[{}]:51820", "{}/32",
        "peer({})", "{}:51820", "{}.53 >", "src:{} dst", "{},{}", "/etc/{}", "={}=", "\t{}\n",
        "at {}: refused", "{}%eth0", "x{} y", "{} . 51820", "inet {}/24 brd", "udp://{}", "-{}-",
    ]
)  # fmt: skip


@given(KEYS, CONTEXTS, st.integers(0, 3))
def test_no_key_comes_out(raw: bytes, context: str, spelling: int) -> None:
    written = spellings_of_key(raw)[spelling]
    redacted = REDACTOR.text(context.replace("{}", written))
    assert written.rstrip("=") not in redacted


@given(ADDRESSES_V4, CONTEXTS, st.integers(0, 1))
def test_no_ipv4_address_comes_out(address: IPv4Address, context: str, spelling: int) -> None:
    written = spellings_of_address(address)[spelling]
    assert str(address) not in REDACTOR.text(context.replace("{}", written))


@given(ADDRESSES_V6, CONTEXTS, st.integers(0, 2))
def test_no_ipv6_address_comes_out(address: IPv6Address, context: str, spelling: int) -> None:
    written = spellings_of_address(address)[spelling]
    assert written not in REDACTOR.text(context.replace("{}", written))


@given(st.binary(min_size=6, max_size=6))
def test_no_mac_comes_out(raw: bytes) -> None:
    mac = raw.hex(":")
    assert mac not in REDACTOR.text(f"link/ether {mac} brd")


@given(st.text(), st.text(), KEYS)
def test_any_text_is_taken(before: str, after: str, raw: bytes) -> None:
    written = base64.b64encode(raw).decode()
    assert written not in REDACTOR.text(f"{before}{written}{after}")


@given(KEYS)
def test_a_key_has_one_pseudonym_in_every_spelling(raw: bytes) -> None:
    text, _, *hexes = spellings_of_key(raw)
    assert len({REDACTOR.text(each) for each in (text, *hexes)}) == 1


@given(ADDRESSES_V4 | ADDRESSES_V6)
def test_an_address_has_one_pseudonym_in_every_spelling(address: IPv4Address | IPv6Address) -> None:
    assert len({REDACTOR.text(each) for each in spellings_of_address(address)}) == 1


def test_two_things_have_two_pseudonyms() -> None:
    assert REDACTOR.text("11.1.1.1") != REDACTOR.text("11.1.1.2")


def test_another_bundle_has_other_pseudonyms() -> None:
    assert Redactor(b"\1" * 32).text("11.1.1.1") != REDACTOR.text("11.1.1.1")


@pytest.mark.parametrize(
    "text",
    [
        "default via 0.0.0.0 dev wg0",
        "{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, fe80::/10 }",
        "unreachable default dev lo table 51820 metric 4278198272",
        "Linux 6.1.0 at 12:34:56",
        "nameserver 127.0.0.53",
        "::/0 0.0.0.0/1 128.0.0.0/1 ::1",
        "meta mark 0x0000ca6c accept",
        "127.0.0.1:9586",
    ],
)
def test_what_is_everybodys_is_left(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_the_length_of_a_prefix_and_the_port_are_left() -> None:
    redacted = REDACTOR.text("11.66.0.2/32 [2a02::1]:51820")
    assert redacted.endswith("]:51820")
    assert "/32 [" in redacted


@pytest.mark.parametrize(
    "text", ["VPN.customer.example:51820", "cannot resolve vpn.customer.example"]
)
def test_a_known_name_is_hidden_in_any_case(text: str) -> None:
    assert "customer" not in REDACTOR.text(text).lower()


def test_what_a_user_searches_and_where_a_user_lives_is_hidden() -> None:
    text = "search secret.corp other.corp\n  domain a.corp\nfile:search b.corp\n/home/alice/a.conf"
    redacted = REDACTOR.text(text)
    assert "corp" not in redacted
    assert "alice" not in redacted
    assert redacted.endswith("/a.conf")


def test_values_of_json_are_looked_through_with_their_names() -> None:
    value = {"11.2.3.4": [1, None, True, {"a": ("11.2.3.4", 2.5)}]}
    ((name, (*plain, inner)),) = REDACTOR.value(value).items()
    assert plain == [1, None, True]
    assert inner == {"a": [name, 2.5]}
    assert name.startswith("<ip-")


@pytest.mark.parametrize("text", [":" * 100_000, "1." * 50_000, "a" * 100_000, "1:" * 199])
def test_a_long_run_is_no_burden(text: str) -> None:
    assert len(REDACTOR.text(text)) <= len(text)
