"""The agent of a market's tunnel: started as root to be nobody, told its file, and heard.

It is started with connections to the engine that only root can make; what it needs to know comes
on its standard input, and what it tells of itself on its standard output, a line of JSON each.
It ends with 0 when its work is done, and is started again otherwise.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fs_tunnel.helper.engine_sockets import connect_as_root
from fs_tunnel.helper.supervisor import FIRST_DELAY, delay_after

log = logging.getLogger(__name__)

# -P: not from the directory that root happens to stand in.
_AGENT = (sys.executable, "-P", "-m", "fs_tunnel.roles.agent")
_FAREWELL = 20.0  # seconds for the last voucher, and for a provider to settle
_STARTING, _LOOK_EVERY = 5.0, 0.05  # seconds
_MAX_LINE = 1 << 20  # bytes
_MAX_FILE = 1 << 20  # bytes


class Agent:
    """The agent of one tunnel, or none."""

    def __init__(self, name: str, on_told: Callable[[dict[str, Any]], None]) -> None:
        """``on_told`` hears all that it says of itself."""
        self._name, self._on_told = name, on_told
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._content = b""
        self._told: dict[str, Any] | None = None
        self._has_told = False  # the process of now, which hears signals from then on
        self._can_start = True
        self._is_leaving = asyncio.Event()
        self._is_dismissed = False

    @property
    def told(self) -> dict[str, Any] | None:
        """What it said of itself last, with its pid; None where there never was one."""
        if not self._content:
            return None
        pid = self._process.pid if self._process is not None else None
        told = self._told or {"state": "starting"}
        if pid is not None and not self._has_told:
            told = {**told, "state": "starting"}  # after a crash: the rest is of the one before
        return {**told, "pid": pid}

    def supervise(self, file: str | None) -> None:
        """Run an agent by this file, unless one does by the same content; None: without one."""
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
        """Have it end its business and itself; what it said last."""
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
        """A signal to a program that is being read would end it before it has begun.

        One that crashed is started once more, for its business is not ended.
        """
        for _ in range(round(_STARTING / _LOOK_EVERY)):
            is_over = self._task is None or self._task.done()
            if self._has_told or is_over or not self._can_start:
                break
            await asyncio.sleep(_LOOK_EVERY)

    async def stop(self, *, is_final: bool) -> None:
        """End it: with its business where that is final, else as a crash would."""
        if is_final and self._task is not None and not self._task.done():
            await self.dismiss()
        elif self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, content: bytes, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})  # it holds the ports
        delay = FIRST_DELAY / 2
        clock = asyncio.get_running_loop().time
        while not self._is_dismissed:
            began = clock()
            try:
                if await self._run_once(content) == 0:
                    return
                log.warning("the agent of %s ended; it is started again", self._name)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self._can_start = False
                log.error("the agent of %s cannot be started: %s", self._name, error)
            delay = delay_after(clock() - began, delay)
            await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        """Shorter where it is to end its business first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_leaving.wait()
        await asyncio.sleep(min(seconds, _LOOK_EVERY))

    async def _run_once(self, raw: bytes) -> int:
        content = json.loads(raw)
        sockets = await asyncio.to_thread(connect_as_root, self._name)
        try:
            descriptors = {use: sock.fileno() for use, sock in sockets.items()}
            process = self._process = await asyncio.create_subprocess_exec(
                *_AGENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=tuple(descriptors.values()),
                limit=_MAX_LINE,
            )
        finally:
            for sock in sockets.values():
                sock.close()
        self._can_start = True
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            start = {**content, "sockets": descriptors, "parent": os.getpid()}
            process.stdin.write(json.dumps(start).encode() + b"\n")
            await self._listen(process.stdout)
            return await process.wait()
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
