# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Why a process that was started ended: its last line, and what is made of it."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fs_tunnel.helper import agents, resolver, supervisor
from fs_tunnel.helper.agents import Agent
from fs_tunnel.helper.last_words import LastWords, why_it_ended
from fs_tunnel.helper.settings import ResolverSettings
from fs_tunnel.helper.supervisor import Supervisor


def python(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


async def run(script: str) -> str:
    with LastWords() as words:
        process = await asyncio.create_subprocess_exec(*python(script), stderr=words.writer)
        words.close_writer()
        return why_it_ended(await process.wait(), words)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import not_there", "it ended with 1: ModuleNotFoundError: No module named 'not_there'"),
        ("import sys; sys.exit(3)", "it ended with 3, without a word"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9 ended it, without a word"),
        ("import sys; sys.exit('a\\n\\x1b[31mb\\n\\n')", "it ended with 1: ?[31mb"),
        (
            "import sys; sys.stderr.write('x' * 200_000); sys.exit(1)",
            f"it ended with 1: {'x' * 300}",
        ),
    ],
)
def test_the_last_line_says_why(script: str, said: str) -> None:
    assert asyncio.run(asyncio.wait_for(run(script), 60)) == said


@pytest.mark.parametrize("command", [python("import not_there"), ("/not/there",)])
def test_an_agent_that_cannot_start_is_told_of_with_the_reason(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "AGENT", command)
    monkeypatch.setattr(agents, "connect_as_root", lambda _: {})
    start = tmp_path / "start"
    start.write_text("{}")

    async def scene() -> dict[str, Any]:
        agent = Agent("alice", lambda _: None)
        agent.supervise(str(start))
        async with asyncio.timeout(60):
            while "error" not in (told := agent.told or {}):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        await agent.stop(is_final=False)
        return told

    told = asyncio.run(scene())
    assert told["state"] in ("failed", "starting")
    assert ("not_there" if len(command) > 1 else "No such file") in told["error"]


def test_a_resolver_that_does_not_stay_up_is_told_of_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_settings: ResolverSettings, errors: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(python("import not_there"), stderr=errors, text=True)

    monkeypatch.setattr(resolver, "start", start)

    async def scene() -> str:
        supervising = Supervisor("alice")
        supervising.supervise(ResolverSettings("alice", ("10.66.0.1",), None))
        async with asyncio.timeout(60):
            while not supervising.failure:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        failure = supervising.failure
        await supervising.stop()
        return failure

    assert "No module named 'not_there'" in asyncio.run(scene())


def test_a_resolver_that_stays_up_has_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_SETTLED_AFTER", 0.05)
    monkeypatch.setattr(
        resolver, "start", lambda *_: subprocess.Popen(python("import time; time.sleep(60)"))
    )

    async def scene() -> None:
        supervising = Supervisor("alice")
        supervising.supervise(ResolverSettings("alice", ("10.66.0.1",), None))
        supervising.failure = "it ended with 1, without a word"
        async with asyncio.timeout(60):
            while supervising.failure:  # noqa: ASYNC110 - a timer
                await asyncio.sleep(0.02)
        await supervising.stop()

    asyncio.run(scene())
