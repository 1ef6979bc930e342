# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Records between processes: what was written is read, and nothing else is."""

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.helper import starts
from fs_tunnel.helper.records import Codec, Text, UnknownRecord
from fs_tunnel.helper.starts import ForwarderStart, Launch, MoverStart, agent_input
from fs_wire.errors import SystemChangeError


@dataclass(frozen=True)
class Inner:
    key: bytes
    is_on: bool


@dataclass(frozen=True, kw_only=True)
class Outer:
    version: Literal[2] = 2
    name: str
    count: int | None
    hosts: tuple[IPv4Address | IPv6Address, ...]
    inner: Inner
    by_name: dict[str, int]


CODEC = Codec(
    {
        bytes: Text(bytes.hex, bytes.fromhex),
        IPv4Address: Text(str, IPv4Address),
        IPv6Address: Text(str, IPv6Address),
    }
)
SAMPLE = Outer(
    name="alice",
    count=2**70,
    hosts=(IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")),
    inner=Inner(b"\1\2", is_on=True),
    by_name={"a": 1},
)
SAID: dict[str, Any] = {
    "version": 2,
    "name": "alice",
    "count": 2**70,
    "hosts": ["192.0.2.1", "2001:db8::1"],
    "inner": {"key": "0102", "is_on": True},
    "by_name": {"a": 1},
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


def test_a_record_is_an_object_with_its_fields() -> None:
    assert CODEC.to_json(SAMPLE) == SAID
    assert CODEC.from_json(Outer, SAID) == SAMPLE
    line = CODEC.to_line(SAMPLE)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert CODEC.from_line(Outer, line) == SAMPLE


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 1),
        ("version", 3),
        ("version", "2"),
        ("version", True),
        ("name", None),
        ("name", 1),
        ("count", "1"),
        ("count", True),
        ("count", 1.0),
        ("hosts", "192.0.2.1"),
        ("hosts", ["192.0.2.256"]),
        ("hosts", [3221225985]),
        ("inner", []),
        ("inner", {"key": "0102"}),
        ("inner", {"key": "0x", "is_on": True}),
        ("inner", {"key": "0102", "is_on": 1}),
        ("inner", {"key": "0102", "is_on": True, "more": 0}),
        ("by_name", {"a": "1"}),
        ("by_name", [["a", 1]]),
    ],
)
def test_another_value_is_refused(member: str, value: object) -> None:
    with pytest.raises(UnknownRecord, match="fs-tunnel down"):
        CODEC.from_json(Outer, {**SAID, member: value})


@pytest.mark.parametrize("member", SAID)
def test_a_missing_or_an_unknown_field_is_refused(member: str) -> None:
    with pytest.raises(UnknownRecord, match=member):
        CODEC.from_json(Outer, {name: value for name, value in SAID.items() if name != member})
    with pytest.raises(UnknownRecord, match="surplus"):
        CODEC.from_json(Outer, {**SAID, "surplus": 1})


def test_another_version_is_named_before_its_fields() -> None:
    with pytest.raises(UnknownRecord, match="1 instead of 2"):
        CODEC.from_json(Outer, {"version": 1, "something": "else"})


@pytest.mark.parametrize("line", [b"", b"{", b"\xff\n", b"[]\n", b"[" * 100_000, b"null\n"])
def test_a_line_without_a_record_is_refused(line: bytes) -> None:
    with pytest.raises(SystemChangeError):
        CODEC.from_line(Outer, line)


@given(JSON_VALUES | st.fixed_dictionaries(dict.fromkeys(SAID, JSON_VALUES)))
def test_anything_is_a_record_or_refused(said: object) -> None:
    try:
        record = CODEC.from_json(Outer, said)
    except UnknownRecord:
        return
    assert CODEC.from_json(Outer, CODEC.to_json(record)) == record


@pytest.mark.parametrize(
    "record",
    [
        Launch(parent=1, sockets={"control": 7, "events": 9}),
        MoverStart(parent=1, name="paid", why="the provider is silent"),
        ForwarderStart(
            parent=1, ifname="wg0", addresses=("10.66.0.1",), port=53, blocked=("ads.example",)
        ),
    ],
)
def test_what_a_helper_tells_its_children_is_read_as_written(
    record: Launch | MoverStart | ForwarderStart,
) -> None:
    said = json.loads(starts.CODEC.to_line(record))
    assert said["version"] == 1
    assert starts.CODEC.from_json(type(record), said) == record
    with pytest.raises(UnknownRecord):
        starts.CODEC.from_json(type(record), {**said, "version": 2})


def test_an_agent_is_told_its_parent_and_sockets_and_then_its_start() -> None:
    first, second, rest = agent_input(b'{"role": "x"}', {"control": 5}).split(b"\n")
    launch = starts.CODEC.from_line(Launch, first)
    assert launch == Launch(parent=os.getpid(), sockets={"control": 5})
    assert (second, rest) == (b'{"role": "x"}', b"")
