# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How long an answer is valid, and for whom it is made."""

import asyncio
from collections.abc import Callable

import pytest

from fs_net.fullnode.http.answers import Recent
from fs_net.fullnode.http.problems import Problem
from tests.net.http.fair import Fair


class Maker:
    """Makes numbers when the test lets it."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self) -> int:
        await self.may.wait()
        self.made += 1
        return self.made


def play(scene: Callable[["Scene"], object]) -> None:
    async def run() -> None:
        await scene(Scene())  # type: ignore[misc]

    asyncio.run(run())


class Scene:
    """A catalogue that does nothing, and a clock that stands still."""

    def __init__(self) -> None:
        self.now, self.catalogue, self.make = 100.0, Fair(), Maker()
        self.recent: Recent[int] = Recent(self.catalogue, lambda: self.now, most=2)

    async def ask(self, question: str = "?") -> int:
        return await self.recent.get(question, self.make)


def test_an_answer_stands_for_a_second_and_until_something_changes() -> None:
    async def scene(at: Scene) -> None:
        assert await at.ask() == 1
        at.catalogue.version += 1
        at.now += 0.9
        assert await at.ask() == 1
        at.now += 0.2
        assert await at.ask() == 2
        at.now += 30
        assert await at.ask() == 2  # nothing has changed
        at.now += 40
        assert await at.ask() == 3  # only time has passed

    play(scene)


def test_all_who_ask_meanwhile_get_one_answer_and_one_pays() -> None:
    async def scene(at: Scene) -> None:
        at.make.may.clear()
        paid: list[int] = []
        asking = [
            asyncio.create_task(at.recent.get("?", at.make, lambda: paid.append(1)))
            for _ in range(5)
        ]
        await asyncio.sleep(0)
        asking[0].cancel()  # the others still get their answer
        at.make.may.set()
        assert await asyncio.gather(*asking[1:]) == [1] * 4
        assert paid == [1]

    play(scene)


def test_who_may_not_pay_gets_what_is_known() -> None:
    def refuse() -> None:
        raise Problem(429, "wait")

    async def scene(at: Scene) -> None:
        assert await at.ask() == 1
        assert await at.recent.get("?", at.make, refuse) == 1
        with pytest.raises(Problem):
            await at.recent.get("else", at.make, refuse)

    play(scene)


def test_what_failed_is_made_again() -> None:
    async def scene(at: Scene) -> None:
        async def fail() -> int:
            raise Problem(422, "write another")

        with pytest.raises(Problem):
            await at.recent.get("?", fail)
        assert await at.ask() == 1

    play(scene)


def test_only_so_many_are_kept() -> None:
    async def scene(at: Scene) -> None:
        for question in "abcab":
            await at.ask(question)
        assert at.make.made == 5

    play(scene)
