# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Kill a process at every step of its work with money, and let another process finish it.

A step is before or after one of these: a commit of the journal, a transaction to the chain node, or
a message to the other side. A message that arrives is a step too. Processes are forked from this
one, which has imported everything and runs no thread.
"""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

# The market imports these only on use. Importing them here saves every process from doing so.
import eth_account  # noqa: F401

import fs_market.chain.abi
import fs_market.chain.rpc  # noqa: F401
from fs_market.chain.chain import Chain
from fs_market.database import Database
from fs_market.session.stream import Stream
from tools.testing import patience

DIED = -signal.SIGKILL
_DEADLINE = round(patience.seconds(60))


def arm(step: int) -> None:
    """Let this process die by SIGKILL at a step, counted from 1."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    commit, send, say, hear = Database._commit, Chain.send, Stream.send, Stream.receive

    def counted_commit(self: Database, batch: Any) -> None:
        count()
        commit(self, batch)
        count()

    async def counted_send(self: Chain, raw: bytes) -> None:
        count()
        await send(self, raw)
        count()

    def counted_say(self: Stream, messages: Iterable[bytes]) -> None:
        for each in messages:
            count()
            say(self, [each])
            count()

    async def counted_hear(self: Stream, idle: float) -> list[bytes]:
        messages = await hear(self, idle)
        for _ in messages:
            count()
        return messages

    Stream.send = counted_say  # type: ignore[method-assign]
    Stream.receive = counted_hear  # type: ignore[method-assign]
    Database._commit = counted_commit  # type: ignore[method-assign]
    Chain.send = counted_send  # type: ignore[method-assign]


def in_process(work: Callable[[], Awaitable[None]], step: int | None = None) -> int:
    """Let a process do ``work`` that dies at a step; return 0, or how it ended."""
    return os.waitstatus_to_exitcode(os.waitpid(start(work, step), 0)[1])


def start(work: Callable[[], Awaitable[None]], step: int | None = None) -> int:
    """Begin ``work`` in a process that dies at a step; return its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(_DEADLINE)
            if step is not None:
                arm(step)
            asyncio.run(_awaited(work))
            status = 0
        except BaseException:  # noqa: BLE001 - it is printed, and the process ends
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
