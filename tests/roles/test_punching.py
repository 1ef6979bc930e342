# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The code that drives a punch, with a simulated engine and gate."""

import asyncio
from collections.abc import Sequence

import pytest

from fs_market.errors import MarketError
from fs_market.session.meetings import Whereabouts
from fs_net.core import punch
from fs_net.core.punch import Mapping
from fs_tunnel.roles.punching import call_peer, find_whereabouts, meeting, reach
from fs_wire.types import Endpoint, PublicKey

KEY = PublicKey(bytes(31) + b"\1")
SERVERS = [Endpoint("198.51.100.1", 3478), Endpoint("198.51.100.2", 3478)]
HERE, THERE, ELSEWHERE = (Endpoint("203.0.113.1", port) for port in (1, 2, 3))
STEADY = Whereabouts((HERE,), Mapping.STEADY)
SYMMETRIC = Whereabouts((HERE, THERE), Mapping.SYMMETRIC)


class PlayedEngine:
    """Answers the ``answers_at``-th call; ``lost`` questions to servers get no answer."""

    def __init__(self, answers_at: int = 2, lost: int = 0) -> None:
        self.called: list[Sequence[Endpoint]] = []
        self.asked: list[Sequence[Endpoint]] = []
        self._answers_at, self._lost = answers_at, lost

    async def observe(self, servers: Sequence[Endpoint], within: float) -> dict[Endpoint, Endpoint]:
        self.asked.append(servers)
        answering = servers[1:] if len(self.asked) <= self._lost else servers
        return dict.fromkeys(answering, HERE)

    async def call(self, peer: PublicKey, endpoints: Sequence[Endpoint]) -> bool:
        self.called.append(endpoints)
        return len(self.called) >= self._answers_at

    async def endpoint_of(self, peer: PublicKey) -> Endpoint | None:
        return THERE


class PlayedGate:
    def __init__(self) -> None:
        self.is_open: set[Endpoint] = set()
        self.log: list[str] = []

    async def open(self, endpoint: Endpoint) -> None:
        self.is_open.add(endpoint)
        self.log.append(f"+{endpoint.port}")

    async def close(self, endpoint: Endpoint) -> None:
        self.is_open.remove(endpoint)
        self.log.append(f"-{endpoint.port}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punch, "FIRST_INTERVAL", 0.01)
    monkeypatch.setattr(punch, "LONGEST_INTERVAL", 0.05)


def test_who_did_not_answer_is_asked_again() -> None:
    engine = PlayedEngine(lost=2)
    assert asyncio.run(find_whereabouts(engine, SERVERS)) == STEADY
    assert engine.asked == [SERVERS, SERVERS[:1], SERVERS[:1]]


def test_only_who_answered_stays_open_in_the_gate() -> None:
    engine, gate = PlayedEngine(), PlayedGate()

    async def ask(ours: Whereabouts) -> Whereabouts:
        assert ours == STEADY
        assert gate.is_open == set()  # no server is asked any more

        return Whereabouts((THERE, ELSEWHERE), Mapping.STEADY)

    assert asyncio.run(reach(engine, gate, KEY, SERVERS, ask)) == THERE
    assert gate.log == ["+3478", "+3478", "-3478", "-3478", "+2", "+3", "-3"]
    assert gate.is_open == {THERE}
    assert engine.called == [(THERE, ELSEWHERE)] * 2


def test_where_nobody_answers_the_gate_is_closed_again() -> None:
    engine, gate = PlayedEngine(answers_at=1000), PlayedGate()

    async def ask(_: Whereabouts) -> Whereabouts:
        return Whereabouts((THERE,), Mapping.STEADY)

    with pytest.raises(MarketError, match="a firewall may drop UDP; choose another provider"):
        asyncio.run(reach(engine, gate, KEY, SERVERS, ask))
    assert gate.is_open == set()
    assert len(engine.called) > 4


@pytest.mark.parametrize("theirs", [SYMMETRIC, Whereabouts((), Mapping.SYMMETRIC)])
def test_what_is_hopeless_is_not_tried(theirs: Whereabouts) -> None:
    engine = PlayedEngine()
    with pytest.raises(MarketError, match="both NATs are symmetric"):
        asyncio.run(call_peer(engine, KEY, SYMMETRIC, theirs))
    assert engine.called == []


def test_a_provider_calls_while_its_answer_is_under_way() -> None:
    engine = PlayedEngine()
    said: list[str] = []

    async def play() -> None:
        meet = meeting(engine, SERVERS, said.append)
        assert await meet(KEY, SYMMETRIC) == STEADY
        assert engine.called == []
        while len(engine.called) < 2:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0)

    asyncio.run(play())
    assert said == []


def test_a_provider_tells_why_it_could_not() -> None:
    said: list[str] = []

    async def play() -> None:
        meet = meeting(PlayedEngine(), SERVERS, said.append)
        await meet(KEY, Whereabouts((), Mapping.UNKNOWN))
        while not said:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0)

    asyncio.run(play())
    assert said == [punch.explain_failure(Mapping.STEADY, Mapping.UNKNOWN)]
