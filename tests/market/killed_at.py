"""Kill a process at every step of what it does with money, and let another finish it.

A step is a commit of the journal or a transaction that goes to the node: each has a before and an
after. Processes are forked off this one, which has imported all and runs no thread.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from fs_market.chain import Chain
from fs_market.journal import Journal

DIED = -signal.SIGKILL
_DEADLINE = 60  # seconds


def arm(step: int) -> None:
    """Die by SIGKILL at a step, counted from 1, in this process."""
    left = step

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    commit, send = Journal._commit, Chain.send

    def counted_commit(self: Journal, batch: Any) -> None:
        count()
        commit(self, batch)
        count()

    async def counted_send(self: Chain, raw: bytes) -> None:
        count()
        await send(self, raw)
        count()

    Journal._commit = counted_commit  # type: ignore[method-assign]
    Chain.send = counted_send  # type: ignore[method-assign]


def in_process(work: Callable[[], Awaitable[None]], step: int | None = None) -> int:
    """Have ``work`` done by a process that dies at a step; 0, or how it ended."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(_DEADLINE)
            if step is not None:
                arm(step)
            asyncio.run(_awaited(work))
            status = 0
        except BaseException as error:  # noqa: BLE001 - it is told, and the process ends
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
