# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Has a tunnel move to a standby, as long as its agent says that its provider is lost.

The mover (``fs_tunnel.roles.client.moving``) does the work, and only that process knows markets.
This module starts the mover, hears its reports, and starts it again after growing delays. An agent
can only say that its provider is lost. A file of root's says where the tunnel moves.
"""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
from collections.abc import Callable
from typing import Any

from fs_tunnel.helper.starts import CODEC, MOVER, MoverStart

log = logging.getLogger(__name__)

# The mover's exit codes. With any other code it was interrupted, and may have begun to move.
_HAS_MOVED, _TRY_AGAIN, _NOBODY_IS_LEFT = 0, 2, 3
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0  # seconds between an end and the next start
_MAX_LINE = 1 << 16  # bytes


class Failover:
    """The failover of one tunnel; ``on_moved`` is called when the tunnel has moved."""

    def __init__(self, name: str, on_moved: Callable[[], None]) -> None:
        self._name, self._on_moved = name, on_moved
        self._why: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._is_well = asyncio.Event()
        self.told: dict[str, Any] | None = (
            None  # the mover's report during a move, or after a failed one
        )

    def hear(self, told: dict[str, Any]) -> None:
        """Take a report of the agent."""
        if self._is_stopped:
            return
        why = told.get("lost")
        before, self._why = self._why, why if isinstance(why, str) else None
        if self._why is None:
            self._is_well.set()
        else:
            self._is_well.clear()
        is_idle = self._task is None or self._task.done()
        if self._why is not None and before is None and is_idle:
            self._task = asyncio.create_task(self._run())
        elif self._why is None and is_idle:
            self.told = None  # the provider has come back

    def allow(self) -> None:
        """Take the agent's reports again, after ``stop``."""
        self._is_stopped = False

    async def stop(self) -> None:
        """End it. A tunnel that is half-way is taken down, or goes on moving at the next start."""
        self._is_stopped, self._why = True, None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        delay, is_half_way = _FIRST_DELAY, False
        while self._why is not None or is_half_way:
            try:
                code = await self._run_once(self._why or "")
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                log.error("%s cannot move: %s", self._name, error)
                code = None
            if code == _HAS_MOVED:
                self._why = self.told = None
                self._on_moved()
            if code in (_HAS_MOVED, _NOBODY_IS_LEFT):
                return
            is_half_way = code != _TRY_AGAIN
            if is_half_way:
                await asyncio.sleep(delay)
            else:
                await self._rest(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        self.told = None

    async def _rest(self, seconds: float) -> None:
        """Wait, but no longer than until the provider comes back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_well.wait()

    async def _run_once(self, why: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *MOVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=_MAX_LINE
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            start = MoverStart(parent=os.getpid(), name=self._name, why=why)
            process.stdin.write(CODEC.to_line(start))
            while line := await process.stdout.readline():
                said = json.loads(line)
                if isinstance(said, dict):
                    self.told = said
            return await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
