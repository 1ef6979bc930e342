# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a provider signs, and which bytes are refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from fs_net.core.records import (
    MAX_RECORD_LIFETIME,
    MAX_SIGNED,
    Heartbeat,
    PortRange,
    ProviderRecord,
    T,
    network_id,
    parse_untrusted,
    sign,
)
from fs_net.errors import Reason, Refused
from fs_wire.codec import decode_untrusted, encode
from fs_wire.types import Endpoint
from tests.net.world import NETWORK, NOW, Provider


def refusal_of(kind: type[T], raw: bytes) -> Reason:
    with pytest.raises(Refused) as caught:
        parse_untrusted(kind, raw)
    return caught.value.reason


def test_a_record_survives_its_way() -> None:
    provider = Provider(1)
    said = provider.record(refused_ports=(PortRange(25, 25),))
    heard = parse_untrusted(ProviderRecord, said.raw)
    heard.check(bytes(provider.keys.node.verify_key), NETWORK)
    assert heard.content == said.content
    assert heard.id == said.id


def test_the_largest_record_fits() -> None:
    ports = tuple(PortRange(60000 + each, 65535) for each in range(16))
    endpoints = tuple(Endpoint(f"2001:db8::{each}", 65535) for each in range(1, 5))
    said = Provider(1).record(refused_ports=ports, endpoints=endpoints)
    assert len(said.raw) <= MAX_SIGNED
    assert parse_untrusted(ProviderRecord, said.raw).content == said.content


def test_a_heartbeat_is_small() -> None:
    assert len(Provider(1).heartbeat().raw) < 112


@pytest.mark.parametrize(
    ("key", "network"),
    [(SigningKey.generate(), NETWORK), (None, network_id(2, bytes(20)))],
    ids=["another key", "another chain"],
)
def test_a_foreign_signature_is_refused(key: SigningKey | None, network: bytes) -> None:
    provider = Provider(1)
    said = sign(provider.record().content, key or provider.keys.node, network)
    with pytest.raises(Refused) as caught:
        said.check(bytes(provider.keys.node.verify_key), NETWORK)
    assert caught.value.reason is Reason.BAD_SIGNATURE


def test_a_signature_serves_for_one_kind_alone() -> None:
    """Without the domain, a signature of one kind could be shown as another."""
    provider = Provider(1)
    said = provider.heartbeat()
    body = said.raw[64:]
    bare = provider.keys.heartbeat.sign(NETWORK + body).signature + body
    with pytest.raises(Refused):
        parse_untrusted(Heartbeat, bare).check(bytes(provider.keys.heartbeat.verify_key), NETWORK)


@pytest.mark.parametrize(
    "said",
    [
        {"slots": 0},
        {"endpoints": ()},
        {"claimed_country": b"de"},
        {"claimed_country": b"D1"},
        {"refused_ports": (PortRange(2, 1),)},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(said: dict[str, object]) -> None:
    assert refusal_of(ProviderRecord, Provider(1).record(**said).raw) is Reason.MALFORMED  # type: ignore[arg-type]


@pytest.mark.parametrize("lifetime", [0, -1, MAX_RECORD_LIFETIME + 1])
def test_a_record_lives_for_a_bounded_time(lifetime: int) -> None:
    raw = Provider(1).record(lifetime=lifetime).raw
    assert refusal_of(ProviderRecord, raw) is Reason.MALFORMED


def test_another_version_is_told_apart() -> None:
    raw = Provider(1).record().raw
    fields = decode_untrusted(raw[64:])
    assert isinstance(fields, list)
    assert refusal_of(ProviderRecord, raw[:64] + encode([2, *fields[1:]])) is Reason.VERSION


def test_what_is_not_canonical_is_refused() -> None:
    raw = Provider(1).heartbeat().raw
    assert raw[65] == 1  # the version, in one byte
    longer = raw[:65] + b"\x18\x01" + raw[66:]
    assert refusal_of(Heartbeat, longer) is Reason.MALFORMED


def test_what_is_too_long_is_not_even_parsed() -> None:
    assert refusal_of(ProviderRecord, bytes(MAX_SIGNED + 1)) is Reason.OVERSIZED


@given(st.binary(max_size=MAX_SIGNED))
def test_rubbish_is_refused(raw: bytes) -> None:
    assert refusal_of(ProviderRecord, raw)
    assert refusal_of(Heartbeat, raw)


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    provider = Provider(1)
    raw = bytearray(provider.record().raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Refused):
        parse_untrusted(ProviderRecord, bytes(raw)).check(
            bytes(provider.keys.node.verify_key), NETWORK
        )


@given(st.lists(st.integers(NOW - 10_000, NOW + 10_000), min_size=2, max_size=20))
def test_sequences_rise_whatever_the_clock_does(times: list[int]) -> None:
    provider = Provider(1)
    sequences = [provider.heartbeat(now).content.sequence for now in times]
    assert sequences == sorted(set(sequences))


def test_no_key_shows_in_a_repr() -> None:
    keys = Provider(1).keys
    assert bytes(keys.node).hex() not in repr(keys) and "SigningKey" not in repr(keys)
    assert replace(keys) is not keys
