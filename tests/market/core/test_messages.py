# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every message is encoded and decoded, and invalid bytes are refused."""

from dataclasses import fields, is_dataclass, replace
from ipaddress import ip_address
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.money.records import ClientRecord, ProviderRecord
from fs_market.core.money.units import MAX_AMOUNT
from fs_market.core.session.events import Configure
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import (
    TYPES,
    Message,
    PeerConfig,
    Quote,
    Refusal,
    parse_untrusted,
    serialize,
)
from fs_market.core.wire.schema import ListOf, Record, from_bytes_untrusted, to_bytes
from fs_market.errors import MalformedMessage, Reason
from fs_wire.codec import MAX_BYTES, decode_untrusted, encode
from fs_wire.schema import Bytes, Uint
from fs_wire.types import Endpoint, PublicKey
from tests.market.core.world import served

ips = st.ip_addresses()
OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "_Amount": st.integers(0, MAX_AMOUNT),
    "_Flag": st.booleans(),
    "_Address": st.binary(min_size=20, max_size=20).map(Address),
    "_WireGuardKey": st.binary(min_size=32, max_size=32).map(PublicKey),
    "_Ip": ips,
    "_Endpoint": st.builds(
        Endpoint, ips.filter(lambda ip: "%" not in str(ip)).map(str), st.integers(1, 65535)
    ),
}


def of_kind(kind: Any) -> st.SearchStrategy[Any]:
    match kind:
        case Uint(bits):
            return st.integers(0, 2**bits - 1)
        case Bytes(length):
            return st.binary(min_size=length, max_size=length)
        case ListOf(inner, most):
            return st.lists(of_kind(inner), max_size=most).map(tuple)
        case Record(record):
            return records_of(record)
    return OTHERS[type(kind).__name__]


def records_of(record: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(record, include_extras=True)
    parts = {}
    for field in fields(record):
        hint: Any = hints[field.name]
        is_record = isinstance(hint, type) and is_dataclass(hint)
        parts[field.name] = records_of(hint) if is_record else of_kind(get_args(hint)[1])
    if "per_gib" in parts:
        parts["per_gib"] = st.integers(1, 2**64 - 1)
    return st.builds(record, **parts)


@pytest.mark.parametrize("record", TYPES.values(), ids=lambda record: record.__name__)
@given(data=st.data())
def test_every_message_survives(record: type[Message], data: st.DataObject) -> None:
    message = data.draw(records_of(record))
    sent = serialize(message)
    assert len(sent) <= MAX_BYTES
    assert parse_untrusted(sent) == message


@pytest.mark.parametrize("record", [ClientRecord, ProviderRecord])
@given(data=st.data())
def test_every_record_survives(record: type, data: st.DataObject) -> None:
    kept = data.draw(records_of(record))
    assert from_bytes_untrusted(record, to_bytes(kept)) == kept


def values() -> list[Any]:
    """Return the messages of a real session, as arrays."""
    world = served()
    world.download(1 << 21)
    world.client.close(world.now)
    world.settle_messages()
    sent = [*world.sent_by["alice"], *world.sent_by["bob"]]
    return [decode_untrusted(serialize(each)) for each in sent]


def test_fields_too_many_too_few_and_of_other_kinds_are_refused() -> None:
    for value in values():
        for wrong in (value[:-1], [*value, 0], value[:2], [1], []):
            with pytest.raises(MalformedMessage):
                parse_untrusted(encode(wrong))
        for at in range(2, len(value)):
            others: list[Any] = [-1, 2**64 - 1, b"", b"x" * 33, True, [], [[[]]]]
            for other in others:
                if type(other) is type(value[at]):
                    continue
                with pytest.raises(MalformedMessage):
                    parse_untrusted(encode([*value[:at], other, *value[at + 1 :]]))


@pytest.mark.parametrize("version", [0, 2, 2**40])
def test_another_version_is_told_apart(version: int) -> None:
    value = values()[0]
    with pytest.raises(MalformedMessage, match="update") as caught:
        parse_untrusted(encode([version, *value[1:]]))
    assert caught.value.reason is Reason.VERSION


@pytest.mark.parametrize("number", [0, 12, -1, 2**63, True, b""])
def test_an_unknown_type_is_refused(number: Any) -> None:
    with pytest.raises(MalformedMessage, match="type"):
        parse_untrusted(encode([1, number]))


def test_a_quote_without_a_price_is_refused() -> None:
    quote = next(m for m in served().sent_by["bob"] if isinstance(m, Quote))
    free = replace(quote, terms=replace(quote.terms, per_gib=0, per_hour=0))
    with pytest.raises(MalformedMessage, match="no price"):
        parse_untrusted(serialize(free))


def test_a_refusal_of_an_unknown_number_is_understood() -> None:
    assert Refusal(9).reason is Reason.BAD_SIGNATURE
    assert Refusal(60_000).reason is Reason.UNEXPECTED


def test_an_address_of_another_length_is_none() -> None:
    assert ip_address("10.66.0.1") in served().sent_by["bob"][1].tunnel.dns  # type: ignore[union-attr]


def test_a_tunnel_that_the_node_did_not_sign_is_not_taken() -> None:
    world = served()
    place = next(m for m in world.sent_by["bob"] if isinstance(m, PeerConfig))
    lured = replace(place.tunnel, endpoint=Endpoint("198.51.100.66", 51820))
    before = list(world.alice.told(Configure))
    world.client.receive(serialize(PeerConfig(lured, place.signature)), world.now)
    world.run(world.alice)
    assert world.client.refused[Reason.BAD_SIGNATURE] == 1
    assert world.alice.told(Configure) == before
