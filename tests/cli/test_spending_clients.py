# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What people read of a tunnel's money, and of those who stand by."""

from typing import Any

import pytest

from fs_tunnel.cli.spending import summary

AMOUNT = {"units": "5", "text": "5 FST"}
NOTHING = {"units": "0", "text": "0 FST"}
SERVED: dict[str, Any] = {
    "role": "client",
    "state": "served",
    "reason": None,
    "price": "10 FST/GiB",
    "paid": AMOUNT,
    "budget": AMOUNT,
    "bytes": 2048,
    "elsewhere": [],
}
LINE = "market: served; 10 FST/GiB; 5 FST of 5 FST for 2.0 KiB"
CALM = {"moves": [], "waiting": [], "refused": {}, "state": "nobody stands by"}
MOVE = {"at": 0, "origin": "alice:1", "target": "bob:1", "why": "the provider is silent"}


def test_who_is_alone_says_nothing_of_others() -> None:
    assert summary(SERVED) == LINE
    assert summary({**SERVED, "failover": CALM}) == LINE
    assert summary({"state": "starting"}) == "market: starting"


@pytest.mark.parametrize("state", ["failed", "starting"])
def test_why_an_agent_does_not_start_is_told(state: str) -> None:
    told = {"state": state, "error": "the agent: it ended with 1: no such module"}
    assert summary(told) == f"market: {told['error']}; it is started again by itself"


def test_what_was_paid_elsewhere_is_told() -> None:
    others = [{"node": "0xA", "paid": AMOUNT}, {"node": "0xB", "paid": NOTHING}]
    assert summary({**SERVED, "elsewhere": others}) == LINE + "; before: 5 FST to 0xA"


@pytest.mark.parametrize("state", ["served", "starting"])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"waiting": ["bob:1", "carol:1"]}, "standby: bob:1, carol:1"),
        ({"refused": {"bob:1": "it is full"}}, "bob:1 is no standby any more: it is full"),
        (
            {"waiting": ["bob:1"], "state": "moving", "to": "bob:1", "why": "it is silent"},
            "moving to bob:1: it is silent; traffic is held back meanwhile",
        ),
        (
            {"waiting": ["bob:1"], "state": "blocked", "why": "it is silent", "error": "wait"},
            "blocked: it is silent; wait",
        ),
        ({"state": "blocked", "error": "wait"}, "blocked: wait"),
    ],
)
def test_how_it_is_with_those_who_stand_by(more: dict[str, Any], said: str, state: str) -> None:
    told = SERVED if state == "served" else {"state": state}
    assert summary({**told, "failover": {**CALM, **more}}).splitlines()[1:] == [said]


def test_every_move_is_told() -> None:
    told = summary({**SERVED, "failover": {**CALM, "moves": [MOVE, MOVE]}})
    _, first, second = told.splitlines()
    assert first == second
    assert "from alice:1 to bob:1: the provider is silent" in first
