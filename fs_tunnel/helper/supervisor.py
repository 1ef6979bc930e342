# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keeps a provider's resolver running: starts it again, after growing delays, when it ends."""

import asyncio
import contextlib
import logging
import os
import subprocess

from fs_tunnel.helper import resolver
from fs_tunnel.helper.last_words import LastWords, why_it_ended
from fs_tunnel.helper.settings import ResolverSettings
from fs_wire.errors import FlowShieldError

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.2, 30.0  # seconds between an end and the next start
_SETTLED_AFTER = 10.0  # seconds; a resolver that ran so long did start


def delay_after(ran: float, latest: float) -> float:
    """How long to wait after a run of ``ran`` seconds, if the wait before it was ``latest``."""
    return FIRST_DELAY if ran >= _SETTLED_AFTER else min(2 * latest, LONGEST_DELAY)


class Supervisor:
    """The resolver of one tunnel, or none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._settings: ResolverSettings | None = None
        self._process: subprocess.Popen[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self.failure = ""  # why the resolver does not stay up; empty once it does

    @property
    def pid(self) -> int | None:
        """The process of the resolver that runs, or None."""
        return self._process.pid if self._process else None

    def supervise(self, settings: ResolverSettings | None) -> None:
        """Run a resolver with these settings in place of the old one; it reads its list again."""
        before, self._settings, self.failure = self._task, settings, ""
        if before is not None:
            before.cancel()
        self._task = asyncio.create_task(self._run(settings, before)) if settings else None

    async def stop(self) -> None:
        """End the resolver, and return when it has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, settings: ResolverSettings, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait({before})  # the old resolver still holds the port
        delay = FIRST_DELAY / 2
        while True:
            began = asyncio.get_running_loop().time()
            try:
                self.failure = await self._run_once(settings)
            except FlowShieldError as error:
                self.failure = str(error)
            log.error("the resolver of %s: %s; it starts again", self._name, self.failure)
            delay = delay_after(asyncio.get_running_loop().time() - began, delay)
            await asyncio.sleep(delay)

    async def _run_once(self, settings: ResolverSettings) -> str:
        """Run a resolver until it ends, and return why it ended."""
        with LastWords() as words:
            process = self._process = resolver.start(settings, words.writer)
            words.close_writer()
            return why_it_ended(await self._wait_for(process), words)

    async def _wait_for(self, process: "subprocess.Popen[str]") -> int:
        ended = asyncio.Event()
        descriptor = os.pidfd_open(process.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        settled = loop.call_later(_SETTLED_AFTER, self._settle)
        try:
            await ended.wait()
        finally:
            settled.cancel()
            loop.remove_reader(descriptor)
            os.close(descriptor)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            status = process.wait()
            self._process = None
        return status

    def _settle(self) -> None:
        self.failure = ""
