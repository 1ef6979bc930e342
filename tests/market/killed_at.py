"""Kill a process at every step of what it does with money, and let another finish it.

A step is a commit of the journal, a transaction that goes to the node or a message that goes to
the other side, each with a before and an after, or a message that came. Processes are forked off
this one, which has imported all and runs no thread.
"""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

# What the market imports only where it is used would else be read by every process anew.
import eth_account  # noqa: F401

import fs_market.chain.abi
import fs_market.chain.rpc  # noqa: F401
from fs_market.chain.chain import Chain
from fs_market.journal import Journal
from fs_market.session.stream import Stream
from tools.testing import patience

DIED = -signal.SIGKILL
_DEADLINE = round(patience.seconds(60))


def arm(step: int) -> None:
    """Die by SIGKILL at a step, counted from 1, in this process."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    commit, send, say, hear = Journal._commit, Chain.send, Stream.send, Stream.receive

    def counted_commit(self: Journal, batch: Any) -> None:
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
    Journal._commit = counted_commit  # type: ignore[method-assign]
    Chain.send = counted_send  # type: ignore[method-assign]


def in_process(work: Callable[[], Awaitable[None]], step: int | None = None) -> int:
    """Have ``work`` done by a process that dies at a step; 0, or how it ended."""
    return os.waitstatus_to_exitcode(os.waitpid(start(work, step), 0)[1])


def start(work: Callable[[], Awaitable[None]], step: int | None = None) -> int:
    """Begin ``work`` in a process that dies at a step; its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(_DEADLINE)
            if step is not None:
                arm(step)
            asyncio.run(_awaited(work))
            status = 0
        except BaseException:  # noqa: BLE001 - it is told, and the process ends
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
