# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Providers in a table, with reasons; and text about full nodes that disagree."""

from dataclasses import replace
from typing import Any

from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_net.core.index import Entry
from fs_net.core.matching import Candidate, Match, Order, Wishes, match
from fs_net.core.records import PortRange
from fs_tunnel.roles.client import offers
from fs_tunnel.roles.client.finding import Finding, NodeSaid
from tests.net.world import Provider

TOKEN = Token("FST", 6, Address(bytes(20)))


def candidate(number: int, uptime: int | None = None, free: int = 7, **said: Any) -> Candidate:
    provider = Provider(number)
    heartbeat = provider.heartbeat(free=free) if free else None
    said = {"price_per_gib": number * 10**5, "price_per_hour": 0, **said}
    listing = provider.listing(500 * 10**6)
    return Candidate(Entry(provider.record(**said), heartbeat), listing, uptime)


def ranked(*candidates: Candidate) -> list[Match]:
    return match(candidates, Wishes(min_free_slots=0), Order.PRICE)


def test_reasons_are_words() -> None:
    cheap, dear = ranked(candidate(1, 998_765), candidate(2, None, 0))
    assert offers.reasons(cheap, [cheap, dear], TOKEN) == [
        "cheapest of 2",
        "up 99.8 %",
        "7 of 50 places free",
        "stake 500 FST",
    ]
    assert offers.reasons(dear, [cheap, dear], TOKEN) == [
        "uptime not known",
        "not known to be live",
        "stake 500 FST",
    ]
    assert offers.reasons(cheap, [cheap], TOKEN)[0] == "up 99.8 %"


def test_almost_always_is_not_always() -> None:
    (almost,) = ranked(candidate(1, 999_999))
    assert "up 99.9 %" in offers.reasons(almost, [almost], TOKEN)
    (always,) = ranked(candidate(1, 10**6))
    assert "up 100 %" in offers.reasons(always, [always], TOKEN)


def test_the_table_says_all() -> None:
    verified = candidate(1, 990_000, price_per_hour=10**4)
    verified = replace(verified, listing=replace(verified.listing, verified_country=b"DE"))
    elsewhere = candidate(2, free=0, services=0)
    elsewhere = replace(elsewhere, listing=replace(elsewhere.listing, verified_country=b"FR"))
    matches = match([verified, candidate(3)], Wishes(), Order.PRICE)
    head, first, third = offers.table(matches, TOKEN).splitlines()
    assert " ".join(head.split()) == (
        "PROVIDER COUNTRY PER GIB PER HOUR UPTIME FREE STAKE SERVICES SCORE"
    )
    assert str(Address(verified.provider)) in first
    for part in ("DE (verified)", "0.1 FST", "0.01 FST", "99 %", "7/50", "500 FST", "exit,relay"):
        assert part in first
    assert "DE (claimed)" in third and " - " in third
    (silent,) = match([elsewhere], Wishes(min_free_slots=0, services=0), Order.PRICE)  # type: ignore[arg-type]
    row = offers.table([silent], TOKEN).splitlines()[1]
    assert "FR (not DE)" in row and "-/50" in row


def test_the_short_table_is_short_and_numbered() -> None:
    matches = ranked(*(candidate(number) for number in range(1, 9)))
    lines = offers.short_table(matches, 5, TOKEN).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("1. ") and "0.1 FST/GiB" in lines[0]
    assert "cheapest of 8" in lines[0] and "cheapest" not in lines[1]


def test_json_has_what_the_table_has_and_what_can_be_checked() -> None:
    ports = (PortRange(25, 25),)
    matches = ranked(candidate(1, 990_000, refused_ports=ports), candidate(2, free=0))
    said = offers.to_json(Finding(matches, [], {}, used_dht=False), TOKEN)
    first, second = said["providers"]
    assert first["provider"] == str(Address(matches[0].candidate.provider))
    assert first["per_gib"] == {"units": "100000", "text": "0.1 FST"}
    assert (first["uptime_ppm"], first["free_slots"]) == (990_000, 7)
    assert (first["claimed_country"], first["verified_country"]) == ("DE", None)
    assert first["refused_ports"] == [[25, 25]]
    assert first["services"] == ["exit", "relay"]
    assert bytes.fromhex(first["record"]) == matches[0].candidate.entry.record.raw
    assert (second["heartbeat"], second["free_slots"]) == (None, None)
    assert set(first["facets_ppm"]) == {"price", "uptime", "capacity", "stake", "verified"}


def test_who_disagrees_is_named_with_counts() -> None:
    someone = Address(bytes(20))
    honest = NodeSaid("/a", 12, 12, True, (), (), {})
    liar = NodeSaid(
        "/b", 9, 12, True, (someone,) * 3, (someone,), {"expired": 1, "bad signature": 2}
    )
    said = offers.oddities(Finding([], [honest, liar], {"/c": "no answer"}, used_dht=False))
    assert said[0] == (
        "full node /b does not show 3 of 12 live providers and "
        "shows 1 records that were replaced and "
        "shows 3 invalid records (bad signature: 2, expired: 1)"
    )
    assert said[1:] == ["no answer from /c"]
    assert offers.oddities(Finding([], [honest, honest], {}, used_dht=False)) == []
    (alone,) = offers.oddities(Finding([], [honest], {}, used_dht=False))
    assert "only one full node" in alone
    partial = replace(honest, is_complete=False)
    (more,) = offers.oddities(Finding([], [partial, honest], {}, used_dht=False))
    assert "more providers than these" in more
    (by_dht,) = offers.oddities(Finding([], [], {}, used_dht=True))
    assert "DHT alone" in by_dht
