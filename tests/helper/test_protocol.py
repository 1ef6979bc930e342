# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Requests to a helper: what is one, and what is refused with which reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.helper.protocol import (
    MAX_REQUEST_BYTES,
    MAY_BE_ASKED_FOR,
    AskStatus,
    Configure,
    Do,
    Leave,
    Undo,
    parse_request_untrusted,
    render_refusal,
    render_reply,
)
from fs_tunnel.helper.settings import ResolverSettings, Settings, parse_settings_untrusted
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.journal.kinds import KINDS, to_json
from fs_wire.errors import UsageError
from tests.linux.journal.test_kinds import SAMPLES

CHANGE = PermittedEndpoint("fs_wg0", "192.0.2.1", 51820)
SETTINGS = Settings(7, ResolverSettings("wg0", ("10.66.0.1", "fd66::1"), "/etc/blocked"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


def line(**members: object) -> bytes:
    return json.dumps(members).encode() + b"\n"


def parse(data: bytes, *, is_root: bool = True) -> object:
    return parse_request_untrusted(data, tunnel="wg0", is_root=is_root)


def test_a_request_is_what_was_meant() -> None:
    change = json.loads(to_json(CHANGE))
    assert parse(line(op="do", change=change), is_root=False) == Do(CHANGE)
    assert parse(line(op="undo", change=change), is_root=False) == Undo(CHANGE)
    assert parse(line(op="status"), is_root=False) == AskStatus()
    assert parse(line(op="leave")) == Leave()
    for settings in (SETTINGS, Settings()):
        assert parse(line(op="configure", settings=settings.to_json())) == Configure(settings)


@pytest.mark.parametrize("request_line", [line(op="leave"), line(op="configure", settings={})])
def test_some_are_for_root_alone(request_line: bytes) -> None:
    with pytest.raises(UsageError, match="only root"):
        parse(request_line, is_root=False)


@pytest.mark.parametrize("change", [each for each in SAMPLES if type(each) not in MAY_BE_ASKED_FOR])
def test_kinds_that_are_not_listed_are_refused(change: object) -> None:
    request = line(op="do", change=json.loads(to_json(change)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="may not ask for a"):
        parse(request)


def test_one_kind_is_listed() -> None:
    """Whoever adds one thinks of what an agent could do with it."""
    assert {kind.__name__ for kind in MAY_BE_ASKED_FOR} == {"PermittedEndpoint"} < set(KINDS)


@pytest.mark.parametrize(
    ("request_line", "why"),
    [
        (b"", "no such request"),
        (b"[" * 5000, "no such request"),
        (b'{"op": "do"}', "no such request"),
        (b'{"op": "status", "more": 1}', "no such request"),
        (b'{"op": "do", "change": 7}', "a change is an object"),
        (b'{"op": "do", "change": {"change": "Nothing"}}', "no such change"),
        (line(op="status").ljust(MAX_REQUEST_BYTES + 1), "send less"),
    ],
)
def test_what_is_no_request_is_refused(request_line: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(request_line)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("table", "fs_wg1"),
        ("table", "fs_wg0; flush ruleset"),
        ("address", "192.0.2.1 . 7 } ; flush ruleset"),
        ("address", "192.0.2.0/24"),
        ("address", "vpn.example.net"),
        ("address", "192.000.2.1"),
        ("address", "224.0.0.1"),
        ("address", "0.0.0.0"),
        ("address", "127.0.0.1"),
        ("address", "255.255.255.255"),
        ("address", "fe80::1%eth0"),
        ("address", "FE80::1"),
        ("address", "::ffff:192.0.2.1"),
        ("port", 0),
        ("port", 65536),
        ("port", True),
        ("port", "53"),
    ],
)
def test_an_endpoint_is_one_host_elsewhere(member: str, value: object) -> None:
    change = json.loads(to_json(CHANGE)) | {member: value}
    with pytest.raises(UsageError):
        parse(line(op="do", change=change))


@given(st.binary(max_size=200) | JSON_VALUES.map(lambda each: json.dumps(each).encode()))
def test_anything_is_understood_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except UsageError as error:
        json.loads(render_refusal(error))


@given(st.dictionaries(st.sampled_from(["agent", "resolver", "x"]), JSON_VALUES) | JSON_VALUES)
def test_settings_are_settings_or_refused(value: object) -> None:
    try:
        settings = parse_settings_untrusted(value)
    except UsageError:
        return
    assert parse_settings_untrusted(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("ifname", 'wg0"'),
        ("addresses", []),
        ("addresses", ["10.66.0.1\ninterface=eth0"]),
        ("addresses", ["10.66.0.0/24"]),
        ("block_list", "blocked"),
        ("block_list", 7),
    ],
)
def test_a_resolver_has_no_other_settings(member: str, value: object) -> None:
    settings = SETTINGS.to_json()
    settings["resolver"] |= {member: value}
    with pytest.raises(UsageError):
        parse_settings_untrusted(settings)


def test_a_reply_is_one_line() -> None:
    assert json.loads(render_reply(pid=7)) == {"ok": True, "pid": 7}
    assert render_reply(pid=7).count(b"\n") == 1
