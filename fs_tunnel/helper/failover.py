"""A tunnel moves to a provider that stands by, while its agent says that its own is lost.

A process of its own does the work (``fs_tunnel.roles.client.moving``).  Only that process knows of
markets.  This module starts it, hears it, and starts it again, later each time.  An agent can say
that its provider is lost, and no more: a file of root's says where the tunnel goes.
"""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

# -P: not from the directory that root happens to stand in.
_MOVING = (sys.executable, "-P", "-m", "fs_tunnel.roles.client.moving")
# Its exit codes; with any other it was cut short, and may have begun to move.
_HAS_MOVED, _TRY_AGAIN, _NOBODY_IS_LEFT = 0, 2, 3
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0  # seconds between an end and the next start
_MAX_LINE = 1 << 16  # bytes


class Failover:
    """That of one tunnel; ``on_moved`` is called when it is elsewhere."""

    def __init__(self, name: str, on_moved: Callable[[], None]) -> None:
        self._name, self._on_moved = name, on_moved
        self._why: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._is_well = asyncio.Event()
        self.told: dict[str, Any] | None = None  # while it is under way, or has failed

    def hear(self, told: dict[str, Any]) -> None:
        """What the agent says of itself."""
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
            self.told = None  # it has come back

    def allow(self) -> None:
        """Hear the agent, also after ``stop``."""
        self._is_stopped = False

    async def stop(self) -> None:
        """End it; a move that was half-way goes with the tunnel, or on at the next start."""
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
        """Less, where it comes back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_well.wait()

    async def _run_once(self, why: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *_MOVING, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=_MAX_LINE
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            start = {"name": self._name, "why": why, "parent": os.getpid()}
            process.stdin.write(json.dumps(start).encode() + b"\n")
            while line := await process.stdout.readline():
                said = json.loads(line)
                if isinstance(said, dict):
                    self.told = said
            return await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
