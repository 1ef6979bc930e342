# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Changes as they happen."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fs_net.fullnode.catalogue import Change
from fs_net.fullnode.http.events import Events
from fs_net.fullnode.http.problems import Problem
from tests.net.http.fair import Fair, fair
from tests.net.world import Provider
from tools.testing import patience

TICK = 0.01
DEADLINE = patience.seconds(10.0)


class Listener:
    """Reads events as a browser does."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.last_id = ""

    async def hear(self, count: int) -> list[tuple[str, str]]:
        """Return the next events by kind and provider; marks and comments are skipped."""
        heard: list[tuple[str, str]] = []
        async with asyncio.timeout(DEADLINE):
            while len(heard) < count or not self.last_id:
                for block in (await anext(self._stream)).decode().split("\n\n"):
                    fields = dict(each.split(": ", 1) for each in block.split("\n") if each)
                    if "event" in fields:
                        said = json.loads(fields["data"])
                        heard.append((fields["event"], said.get("provider", "")))
                    self.last_id = fields.get("id", self.last_id)
        return heard

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


def describe(change: Change) -> bytes:
    return json.dumps({"provider": change.provider.hex()}).encode()


@asynccontextmanager
async def telling(
    catalogue: Fair, most: int = 100, most_each: int = 10, name: str = "start"
) -> AsyncIterator[Events]:
    events = Events(catalogue, describe, name, most, most_each, TICK)
    task = asyncio.create_task(events.run())
    try:
        async with asyncio.timeout(DEADLINE):
            while not catalogue.listened_to:  # noqa: ASYNC110 - another task begins
                await asyncio.sleep(0)
        yield events
    finally:
        task.cancel()
        await asyncio.wait([task])


def wanted(*providers: Provider) -> frozenset[bytes]:
    return frozenset(each.address for each in providers)


def test_a_named_provider_is_told_of_with_its_heartbeats() -> None:
    async def run() -> None:
        catalogue, (alice, bob, *_) = fair(5)
        async with telling(catalogue) as events:
            listener = Listener(events.listen("a", "", wanted(alice)))
            await listener.hear(0)
            catalogue.hear(bob, 3)
            catalogue.hear(alice, 3)
            assert await listener.hear(1) == [("heartbeat", alice.address.hex())]
            catalogue.silence(bob)
            catalogue.silence(alice)
            assert await listener.hear(1) == [("silent", alice.address.hex())]

    asyncio.run(run())


def test_who_names_nobody_is_told_of_all_but_heartbeats() -> None:
    async def run() -> None:
        catalogue, (alice, bob, carol, *_) = fair(5)
        async with telling(catalogue) as events:
            listener = Listener(events.listen("a", "", None))
            await listener.hear(0)
            catalogue.hear(alice, 3)
            catalogue.silence(bob)
            catalogue.drop(carol)
            heard = await listener.hear(2)
            assert set(heard) == {("silent", bob.address.hex()), ("gone", carol.address.hex())}

    asyncio.run(run())


def test_a_heartbeat_hides_no_record_of_the_same_second() -> None:
    async def run() -> None:
        catalogue, (alice, *_) = fair(5)
        async with telling(catalogue) as events:
            listener = Listener(events.listen("a", "", None))
            await listener.hear(0)
            candidate = catalogue.candidates[alice.address]
            catalogue.add(alice, candidate)
            catalogue.hear(alice, 3)
            assert await listener.hear(1) == [("record", alice.address.hex())]

    asyncio.run(run())


def test_who_comes_back_is_told_what_it_missed_once() -> None:
    async def run() -> None:
        catalogue, (alice, bob, *_) = fair(5)
        async with telling(catalogue) as events:
            first = Listener(events.listen("a", "", wanted(alice, bob)))
            await first.hear(0)
            catalogue.hear(alice, 1)
            await first.hear(1)
            await first.close()
            witness = Listener(events.listen("b", "", wanted(bob)))
            await witness.hear(0)
            catalogue.silence(bob)
            await witness.hear(1)
            catalogue.hear(bob, 2)
            await witness.hear(1)
            again = Listener(events.listen("a", first.last_id, wanted(alice, bob)))
            assert await again.hear(1) == [("heartbeat", bob.address.hex())]
            assert again.last_id == witness.last_id

    asyncio.run(run())


@pytest.mark.parametrize("last_id", ["else-3", "start-0", "start-999999", "start-x", "\u0663", "-"])
def test_who_missed_too_much_begins_anew(last_id: str) -> None:
    async def run() -> None:
        catalogue, (alice, *_) = fair(5)
        async with telling(catalogue) as events:
            listener = Listener(events.listen("a", last_id, wanted(alice)))
            assert await listener.hear(1) == [("reset", "")]

    asyncio.run(run())


def test_listeners_are_bounded_and_give_their_place_back() -> None:
    async def run() -> None:
        catalogue, _ = fair(5)
        async with telling(catalogue, most=3, most_each=2) as events:
            held = [Listener(events.listen(source, "", None)) for source in ("a", "a", "b")]
            for each in held:
                await each.hear(0)
            with pytest.raises(Problem, match="too many"):
                events.listen("c", "", None)
            await held[2].close()
            with pytest.raises(Problem, match="too many"):
                events.listen("a", "", None)
            await Listener(events.listen("c", "", None)).hear(0)

    asyncio.run(run())


def test_a_slow_listener_costs_no_memory_and_hears_the_latest() -> None:
    async def run() -> None:
        catalogue, providers = fair(20)
        async with telling(catalogue) as events:
            slow = Listener(events.listen("slow", "", wanted(*providers)))
            await slow.hear(0)
            quick = Listener(events.listen("quick", "", wanted(*providers)))
            await quick.hear(0)
            for round_ in range(5):
                for each in providers:
                    catalogue.hear(each, round_)
                await quick.hear(20)
            assert len(await slow.hear(20)) == 20

    asyncio.run(run())
