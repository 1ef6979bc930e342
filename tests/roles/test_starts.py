# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What agents are told at their start, from the process that writes it to the one that reads it."""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any, get_args

import pytest

from fs_tunnel.helper.records import UnknownRecord
from fs_tunnel.roles.agent import _ROLES
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.starts import (
    CODEC,
    AgentStart,
    FindStart,
    MeetStart,
    NegotiateStart,
    OrderStart,
    PayStart,
    PrepayStart,
    ProviderStart,
    User,
    parse_start,
)
from fs_wire.errors import SystemChangeError
from fs_wire.types import KEY_LEN, PublicKey
from tests.roles.client.dealings import DEALING, PURSE

KEY = PublicKey(b"\5" * KEY_LEN)
BEHIND_NAT = replace(
    DEALING,
    node=PURSE.payer,
    record=b"record",
    tunnel_key=KEY,
    peer=b"\0\x24peer",
    network=bytes(32),
    relays=("/ip4/192.0.2.9/tcp/4001/p2p/x",),
    relay="/ip4/192.0.2.9/tcp/4001/p2p/x",
)
STARTS: list[AgentStart] = [
    ProviderStart(
        user=User(65534, 65534),
        conf=Path("/etc/fs-tunnel/market.toml"),
        conf_digest="00",
        books=PURSE.books,
        wireguard_key=KEY,
        addresses=(IPv4Interface("10.66.0.1/24"), IPv6Interface("fd66::1/64")),
        dns=(IPv4Address("10.66.0.1"), IPv6Address("fd66::1")),
        mtu=1420,
        reserved=(KEY,),
        taken=(IPv4Address("10.66.0.9"),),
    ),
    FindStart(
        user=User(0, 0),
        network=bytes(32),
        find=b"\1",
        full_nodes=("/a", "/b"),
        only_named=True,
        provider=b"",
    ),
    NegotiateStart(dealing=DEALING, host="provider.example", port=4700, only_reserves=False),
    PrepayStart(dealing=DEALING, host="2001:db8::1", port=4700),
    OrderStart(dealing=BEHIND_NAT),
    PayStart(
        dealing=BEHIND_NAT,
        gateway=IPv6Address("fd66::1"),
        payment_port=4701,
        provider_key=KEY,
    ),
    MeetStart(dealing=BEHIND_NAT, provider_key=KEY),
]


def said(start: AgentStart) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CODEC.to_line(start))
    return found


def test_every_agent_is_here() -> None:
    assert {type(each) for each in STARTS} == set(get_args(AgentStart))
    assert {each.role for each in STARTS} == set(_ROLES)


@pytest.mark.parametrize("start", STARTS, ids=lambda each: each.role)
def test_a_start_is_read_as_it_was_written(start: AgentStart) -> None:
    assert parse_start(CODEC.to_line(start)) == start
    assert start.user == parse_start(CODEC.to_line(start)).user
    assert said(start)["version"] == 1


@pytest.mark.parametrize("start", STARTS, ids=lambda each: each.role)
def test_whatever_is_unknown_is_refused(start: AgentStart) -> None:
    known = said(start)
    odd: list[object] = [{**known, "more": 1}, {**known, "version": 2}, {**known, "role": "none"}]
    odd += [{name: known[name] for name in known if name != missing} for missing in known]
    odd += [{**known, name: {}} for name in known]
    for each in odd:
        with pytest.raises(UnknownRecord):
            parse_start(json.dumps(each).encode())


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"role": []}', b'{"role": "find"}', b"\xff"])
def test_what_is_no_start_is_refused(line: bytes) -> None:
    with pytest.raises(UnknownRecord, match="fs-tunnel down"):
        parse_start(line)


def test_a_file_of_another_version_is_named_and_still_has_a_role(tmp_path: Path) -> None:
    files = MarketFiles("paid", tmp_path)
    assert files.read_start() is None and files.role() is None
    files.write_start(STARTS[0])
    assert (files.read_start(), files.role()) == (STARTS[0], "provider")
    assert files.start.stat().st_mode & 0o077 == 0
    files.start.write_text(json.dumps({**said(STARTS[0]), "version": 2}))
    with pytest.raises(SystemChangeError, match=r"paid\.json cannot be read: .* remove it"):
        files.read_start()
    assert files.role() == "provider"
    files.start.write_text("{")
    with pytest.raises(SystemChangeError, match="remove it"):
        files.role()
