# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What is known about a NAT, how it is explained, and when a side calls."""

from itertools import pairwise, product

import pytest

from fs_net.core.punch import (
    LONGEST_INTERVAL,
    MAX_SERVERS,
    Mapping,
    Timetable,
    explain_failure,
    is_hopeless,
    judge_mapping,
    stun_servers,
)
from fs_wire.types import Endpoint

ONE, TWO = Endpoint("198.51.100.1", 3478), Endpoint("198.51.100.2", 3478)
SIX, HERE_SIX = Endpoint("2001:db8::1", 3478), Endpoint("2001:db8::2", 40000)
HERE, THERE = Endpoint("203.0.113.1", 40000), Endpoint("203.0.113.1", 40001)


@pytest.mark.parametrize(
    ("seen", "mapping"),
    [
        ({}, Mapping.UNKNOWN),
        ({ONE: HERE}, Mapping.UNKNOWN),
        ({ONE: HERE, TWO: HERE}, Mapping.STEADY),
        ({ONE: HERE, TWO: THERE}, Mapping.SYMMETRIC),
        ({ONE: HERE, SIX: HERE_SIX}, Mapping.UNKNOWN),
        ({ONE: HERE, TWO: HERE, SIX: HERE_SIX}, Mapping.STEADY),
        ({ONE: HERE, TWO: THERE, SIX: HERE_SIX}, Mapping.SYMMETRIC),
    ],
)
def test_two_servers_tell_what_a_nat_does(seen: dict[Endpoint, Endpoint], mapping: Mapping) -> None:
    assert judge_mapping(seen) is mapping


def test_full_nodes_are_servers_where_their_address_is_known() -> None:
    addresses = [
        "/ip4/198.51.100.1/tcp/4001/p2p/12D3KooW",
        "/ip4/198.51.100.1/udp/4001/quic-v1/p2p/12D3KooW",
        "/dns4/example.org/tcp/4001/p2p/12D3KooW",
        "/ip4/300.0.0.1/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip6/2001:db8::1/tcp/4001",
        "/",
        "rubbish",
    ]
    assert stun_servers(addresses) == (ONE, SIX)
    many = [f"/ip4/198.51.100.{each}/tcp/4001" for each in range(100)]
    assert len(stun_servers(many)) == MAX_SERVERS


def test_numbers_of_the_wire_are_known_or_unknown() -> None:
    assert [Mapping.from_number(each) for each in range(4)] == [*Mapping, Mapping.UNKNOWN]


def test_only_two_symmetric_nats_are_hopeless() -> None:
    hopeless = [pair for pair in product(Mapping, Mapping) if is_hopeless(*pair)]
    assert hopeless == [(Mapping.SYMMETRIC, Mapping.SYMMETRIC)]


def test_a_failure_is_explained_with_its_remedy() -> None:
    for pair in product(Mapping, Mapping):
        said = explain_failure(*pair)
        assert said.startswith("hole punching ")
        assert said.endswith("choose another provider, or forward a port")
        assert ("both" in said) == is_hopeless(*pair)
    assert "your NAT is symmetric" in explain_failure(Mapping.SYMMETRIC, Mapping.STEADY)
    assert "provider's NAT is symmetric" in explain_failure(Mapping.STEADY, Mapping.SYMMETRIC)


def test_intervals_grow_and_end() -> None:
    table = Timetable(100.0)
    calls: list[float] = []
    while (due := table.due) is not None and len(calls) < 100:
        calls.append(due)
        table.called(due)
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(calls)]
    assert gaps == [0.3, 0.3, 0.6, 0.6, 1.2, 1.2, 2.4, 2.4]
    assert max(gaps) == LONGEST_INTERVAL
