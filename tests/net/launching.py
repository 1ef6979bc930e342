# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Network processes that are forked from the scene's keeper, which has imported libp2p."""

import asyncio
import contextlib
import os
import signal
import socket

from fs_net.launchers import Process
from tools.testing import commands
from tools.testing.keeper import CommandLine, Request


class Forked:
    """In the place of ``fs_net.launchers.Exec``: all but the imports is as there."""

    async def launch(self, end: socket.socket) -> Process:
        assert commands.keeper is not None
        words = ["3"]  # the descriptor's number over there
        command = CommandLine("fs_net.host_process", words, dict(os.environ), os.getcwd())  # noqa: PTH109
        with open(os.devnull, "rb") as nothing:  # noqa: ASYNC230 - it does not block
            return _Running(
                Request(commands.keeper, command, (nothing.fileno(), 1, 2, end.fileno()))
            )


class _Running:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(request.fileno(), self._note_end)

    @property
    def pid(self) -> int:
        return self._request.pid

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self) -> None:
        await self._ended.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _note_end(self) -> None:
        self._loop.remove_reader(self._request.fileno())
        self._request.wait()
        self._ended.set()
