# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Runs the agent of a market's tunnel: starts it, hands it its start, and hears its reports.

The agent starts as root and then gives up its rights. It inherits connections to the engine, which
only root can make. Its start comes on its standard input, and it reports on its standard output, in
lines of JSON. It exits with 0 once its work is done; otherwise it is started again.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fs_tunnel.helper.engine_sockets import connect_as_root
from fs_tunnel.helper.last_words import LastWords, why_it_ended
from fs_tunnel.helper.starts import AGENT, agent_input
from fs_tunnel.helper.supervisor import FIRST_DELAY, delay_after

log = logging.getLogger(__name__)

_FAREWELL = 20.0  # seconds for the last voucher, and for a provider to settle
_STARTING, _LOOK_EVERY = 5.0, 0.05  # seconds
_MAX_LINE = 1 << 20  # bytes
_MAX_FILE = 1 << 20  # bytes


class Agent:
    """The agent of one tunnel, or none."""

    def __init__(self, name: str, on_told: Callable[[dict[str, Any]], None]) -> None:
        """``on_told`` hears each report of the agent."""
        self._name, self._on_told = name, on_told
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._content = b""
        self._told: dict[str, Any] | None = None
        self._has_told = False  # this process has reported; from then on it hears signals
        self._can_start = True
        self._is_leaving = asyncio.Event()
        self._is_dismissed = False

    @property
    def told(self) -> dict[str, Any] | None:
        """The agent's last report, with its pid; None if the tunnel has no agent."""
        if not self._content:
            return None
        pid = self._process.pid if self._process is not None else None
        told = self._told or {"state": "starting"}
        if pid is not None and not self._has_told:
            told = {**told, "state": "starting"}  # after a crash the rest is the old report
        return {**told, "pid": pid}

    def supervise(self, file: str | None) -> None:
        """Run an agent with the start in this file, unless it runs already. None ends the agent."""
        content = _read(file) if file is not None else b""
        is_running = self._task is not None and not self._task.done()
        if is_running and content == self._content:
            return
        if self._task is not None:
            self._task.cancel()
        before, self._content, self._is_dismissed = self._task, content, False
        self._is_leaving.clear()
        self._told, self._can_start = None, True
        self._task = asyncio.create_task(self._run(content, before)) if content else None

    async def dismiss(self) -> dict[str, Any] | None:
        """Have the agent finish its business and end; return its last report."""
        self._is_leaving.set()
        await self._wait_until_it_hears()
        self._is_dismissed = True
        process, task = self._process, self._task
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        if task is not None:
            await asyncio.wait({task}, timeout=_FAREWELL)
            task.cancel()
            await asyncio.wait({task})
        return self.told

    async def _wait_until_it_hears(self) -> None:
        """Wait until the agent handles signals: before that, a signal would just kill it.

        An agent that crashed is started once more, because its business is unfinished.
        """
        for _ in range(round(_STARTING / _LOOK_EVERY)):
            is_over = self._task is None or self._task.done()
            if self._has_told or is_over or not self._can_start:
                break
            await asyncio.sleep(_LOOK_EVERY)

    async def stop(self, *, is_final: bool) -> None:
        """End the agent. If ``is_final``, it finishes its business first; if not, it is killed."""
        if is_final and self._task is not None and not self._task.done():
            await self.dismiss()
        elif self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, content: bytes, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})  # the old agent still holds the ports
        delay = FIRST_DELAY / 2
        clock = asyncio.get_running_loop().time
        while not self._is_dismissed:
            began = clock()
            try:
                if await self._run_once(content) == 0:
                    return
                log.warning("the agent of %s ended, and starts again", self._name)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self._can_start = False
                self._fail(f"it cannot be started: {error}")
            delay = delay_after(clock() - began, delay)
            await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        """Wait, but only shortly if the agent must still finish its business."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_leaving.wait()
        await asyncio.sleep(min(seconds, _LOOK_EVERY))

    def _fail(self, why: str) -> None:
        """Report a failure in the place of an agent that could not."""
        log.error("the agent of %s: %s", self._name, why)
        self._told = {"state": "failed", "error": f"the agent: {why}"}

    async def _run_once(self, raw: bytes) -> int:
        with LastWords() as words:
            return await self._run_with(raw, words)

    async def _run_with(self, raw: bytes, words: LastWords) -> int:
        sockets = await asyncio.to_thread(connect_as_root, self._name)
        try:
            descriptors = {use: sock.fileno() for use, sock in sockets.items()}
            process = self._process = await asyncio.create_subprocess_exec(
                *AGENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # In debugging, the agent's log goes where the helper's log goes.
                stderr=None if os.environ.get("FS_TUNNEL_DEBUG") else words.writer,
                pass_fds=tuple(descriptors.values()),
                limit=_MAX_LINE,
            )
        finally:
            words.close_writer()
            for sock in sockets.values():
                sock.close()
        self._can_start = True
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(agent_input(raw, descriptors))
            await self._listen(process.stdout)
            status = await process.wait()
            if status != 0 and not self._has_told:
                self._fail(why_it_ended(status, words))
            return status
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            self._process, self._has_told = None, False

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        with contextlib.suppress(ValueError):  # a line that is too long, or no JSON
            while line := await stream.readline():
                said = json.loads(line)
                if isinstance(said, dict):
                    self._told, self._has_told = said, True
                    self._on_told(said)


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(_MAX_FILE)
    except OSError as error:
        log.error("%s: %s", file, error.strerror)
        return b""
