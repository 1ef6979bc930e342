# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a client owes according to its books."""

from dataclasses import replace

import pytest

from fs_market.core.money.accounting import ANY, CLOSED, Meter, SetLimits, Usage
from fs_market.core.money.client_books import ClientBooks
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord
from fs_market.core.wire.messages import Statement
from fs_market.errors import Reason, Refused
from tests.market.core.world import MIB, World, served


def books(world: World, *, used: int, budget: int = 10**9, **changes: int) -> ClientBooks:
    record: ClientRecord = world.client._open_books.record
    meter = Meter(Usage(down=used))
    return ClientBooks(replace(record, meter=meter, is_open=False, **changes), budget)  # type: ignore[arg-type]


def statement(world: World, down: int, **changes: int | bool) -> Statement:
    plain = Statement(world.client._channel, 0, down, 0, 0, MIB, 1, suspended=False, final=False)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_nothing_is_due_beyond_budget_and_deposit() -> None:
    world = served()
    for deposit, budget in ((500, 10**9), (10**9, 500)):
        kept = books(world, used=100 * MIB, deposit=deposit, budget=budget)
        kept.take_statement_untrusted(statement(world, 100 * MIB))
        assert kept.due == kept.amount_to_promise == 500
        assert kept.limits == SetLimits(CLOSED, 0)


def test_before_anything_is_confirmed_one_window_is_paid() -> None:
    world = served()
    kept = books(world, used=100 * MIB)
    assert kept.due == world.price.cost(MIB, 0)
    kept.take_statement_untrusted(statement(world, 50 * MIB))
    assert kept.due == world.price.cost(51 * MIB, 0)
    kept.take_statement_untrusted(statement(world, 50 * MIB, final=True))
    assert kept.due == world.price.cost(50 * MIB, 0)


@pytest.mark.parametrize(
    ("claim", "paid_for"),
    [(100 * MIB, 100 * MIB), (101 * MIB, 101 * MIB), (101 * MIB + 4096, 101 * MIB)],
)
def test_a_claim_is_paid_up_to_the_tolerance(claim: int, paid_for: int) -> None:
    world = served()
    kept = books(world, used=100 * MIB)
    kept.take_statement_untrusted(statement(world, claim))
    assert kept.due == world.price.cost(paid_for, 0)


@pytest.mark.parametrize(
    "lie",
    [{"down": 102 * MIB + 1}, {"up": 3 * MIB}, {"seconds": 4}, {"paid": 1}],
)
def test_a_claim_that_nothing_explains_is_refused(lie: dict[str, int]) -> None:
    world = served()
    kept = books(world, used=100 * MIB)
    with pytest.raises(Refused) as caught:
        kept.take_statement_untrusted(statement(world, **({"down": 100 * MIB} | lie)))
    assert caught.value.reason is Reason.COUNTS_DISAGREE
    assert kept.statement is None


@pytest.mark.parametrize(("lost", "believed"), [(MIB // 2, MIB // 2), (2 * MIB, MIB)])
def test_after_a_crash_one_window_is_believed_once(lost: int, believed: int) -> None:
    world = served()
    kept = books(world, used=10 * MIB)
    kept = ClientBooks(replace(kept.record, is_open=True), 10**9)
    kept.take_statement_untrusted(statement(world, 10 * MIB + lost))
    assert kept.usage.down == 10 * MIB + believed
    kept.take_statement_untrusted(statement(world, 11 * MIB + believed))
    assert kept.usage.down == 10 * MIB + believed


def test_a_window_is_what_was_agreed_upon_whatever_is_stated() -> None:
    world = served()
    kept = books(world, used=0)
    kept.take_statement_untrusted(statement(world, 0, window_bytes=2**63, window_seconds=2**31))
    assert (kept.window.bytes, kept.window.seconds) == (64 * MIB, 8)


def test_where_bytes_are_free_the_engine_has_no_limit() -> None:
    world = served(price=Price(0, 3600))
    assert books(world, used=100 * MIB).limits == SetLimits(ANY, 0)
