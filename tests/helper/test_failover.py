# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""When a helper has a tunnel moved, again, or no more."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fs_tunnel.helper import failover
from fs_tunnel.helper.failover import Failover
from tools.testing import patience

LOST = {"lost": "the provider is silent"}
WELL: dict[str, Any] = {"lost": None}
# It counts its runs, tells, and ends with the next of its exit codes; with "hang", it does not.
_PLAYED = """
import json, sys, time
runs, *codes = sys.argv[1:]
start = json.loads(sys.stdin.readline())
with open(runs, "a+") as file:
    file.seek(0)
    number = len(file.readlines())
    file.write(start["name"] + ": " + start["why"] + "\\n")
print(json.dumps({"state": "moving", "run": number}), flush=True)
code = codes[min(number, len(codes) - 1)]
if code == "hang":
    time.sleep(60)
sys.exit(int(code))
"""


class Played:
    """A helper's part of it, with a mover that ends as it is told."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "runs"
        self.moved = 0
        self.failover = Failover("wg0", self._count)

    def _count(self) -> None:
        self.moved += 1

    @property
    def runs(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    @property
    def is_idle(self) -> bool:
        task = self.failover._task
        return task is None or task.done()


Play = Callable[[Played], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(act: Play, *codes: object) -> None:
        async def whole() -> None:
            played = Played(tmp_path)
            argv = (sys.executable, "-c", _PLAYED, str(played.file), *map(str, codes))
            monkeypatch.setattr(failover, "MOVER", argv)
            try:
                await act(played)
            finally:
                await played.failover.stop()

        asyncio.run(whole())

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(patience.seconds(20)):
        while not condition():  # noqa: ASYNC110 - of many objects, without events
            await asyncio.sleep(0.01)


def test_a_provider_that_is_there_is_not_left(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(WELL)
        played.failover.hear({"state": "served"})
        assert played.is_idle

    play(act, 0)


def test_a_lost_one_is_left_once(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(LOST)
        played.failover.hear(LOST)
        await until(lambda: played.moved)
        await until(lambda: played.is_idle)
        assert played.runs == ["wg0: the provider is silent"]
        assert played.failover.told is None
        played.failover.hear(LOST)  # of the next
        await until(lambda: played.moved == 2)

    play(act, 0)


def test_it_is_tried_again_while_it_is_lost(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(LOST)
        await until(lambda: len(played.runs) == 2)
        assert not played.moved
        await until(lambda: played.moved)
        assert len(played.runs) == 3

    play(act, 2, 2, 0)


def test_one_that_comes_back_is_kept(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(LOST)
        await until(lambda: played.runs and played.failover.told)
        played.failover.hear(WELL)
        await until(lambda: played.is_idle)
        assert not played.moved
        assert played.failover.told is None
        played.failover.hear(LOST)
        await until(lambda: played.moved)

    play(act, 2, 0)


def test_where_nobody_is_left_it_says_so_and_rests(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(LOST)
        await until(lambda: played.is_idle)
        played.failover.hear(LOST)
        assert played.is_idle
        assert played.failover.told == {"state": "moving", "run": 0}
        assert len(played.runs) == 1
        played.failover.hear(WELL)
        assert played.failover.told is None

    play(act, 3)


def test_what_was_half_way_goes_on_whatever_the_agent_says(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(LOST)
        await until(lambda: played.runs)
        played.failover.hear(WELL)
        await until(lambda: played.moved)
        assert len(played.runs) == 2

    play(act, 1, 0)


def test_nothing_is_begun_after_the_end(play: Callable[..., None]) -> None:
    async def act(played: Played) -> None:
        played.failover.hear(LOST)
        await until(lambda: played.failover.told)
        await played.failover.stop()
        played.failover.hear(WELL)
        played.failover.hear(LOST)
        assert played.is_idle
        played.failover.allow()
        played.failover.hear(LOST)
        await until(lambda: len(played.runs) == 2)

    play(act, "hang")
