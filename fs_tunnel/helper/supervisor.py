"""Keeps a provider's resolver running: started again when it ends, later each time, and stopped."""

import asyncio
import contextlib
import logging
import os
import subprocess

from fs_tunnel.helper import resolver
from fs_tunnel.helper.settings import ResolverSettings
from fs_wire.errors import FlowShieldError

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.2, 30.0  # seconds between an end and the next start
_SETTLED_AFTER = 10.0  # seconds after which an end is no failure to start


def delay_after(ran: float, latest: float) -> float:
    """How long to wait after a run of ``ran`` seconds, where it was ``latest`` before."""
    return FIRST_DELAY if ran >= _SETTLED_AFTER else min(2 * latest, LONGEST_DELAY)


class Supervisor:
    """The resolver of one tunnel, or none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._settings: ResolverSettings | None = None
        self._process: subprocess.Popen[str] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the resolver that runs."""
        return self._process.pid if self._process else None

    def supervise(self, settings: ResolverSettings | None) -> None:
        """Run a resolver with these settings in place of what runs; its list is read again."""
        before, self._settings = self._task, settings
        if before is not None:
            before.cancel()
        self._task = asyncio.create_task(self._run(settings, before)) if settings else None

    async def stop(self) -> None:
        """End it, and return when it has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, settings: ResolverSettings, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})  # it holds the port
        delay = FIRST_DELAY / 2
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._run_once(settings)
                log.warning("the resolver of %s ended; it is started again", self._name)
            except FlowShieldError as error:
                log.error("%s", error)
            delay = delay_after(asyncio.get_running_loop().time() - began, delay)
            await asyncio.sleep(delay)

    async def _run_once(self, settings: ResolverSettings) -> None:
        process = self._process = resolver.start(settings)
        ended = asyncio.Event()
        descriptor = os.pidfd_open(process.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            self._process = None
