# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node's API and page on loopback, for tests, pictures and measurements."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from fs_net.fullnode.catalogue import Catalogue, Orders
from fs_net.fullnode.http.app import create_app
from fs_net.fullnode.http.server import listen, serve
from fs_net.fullnode.http.settings import ServerSettings
from fs_net.fullnode.http.sign_in import Site
from fs_net.fullnode.http.visitors import Limits
from tests.net.http.fair import TOKEN, Book
from tests.net.http.wallets import recover
from tests.net.world import NETWORK, NOW

LOOPBACK = "127.0.0.1"
NO_LIMITS = Limits(1e9, 1e9, 1e9, 1e9, 1e9, 1e9)


@contextmanager
def served(
    catalogue: Catalogue,
    orders: Orders | None = None,
    limits: Limits = NO_LIMITS,
    now: int = NOW,
) -> Iterator[str]:
    """Serve them and yield the URL; time stands still."""
    listener = listen(LOOPBACK, 0)
    origin = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    settings = ServerSettings(Site(origin, 1), NETWORK, limits=limits)
    app = create_app(catalogue, orders or Book(), TOKEN, recover, settings, lambda: now)
    loop = uvloop.new_event_loop()
    serving = loop.create_task(serve(app, listener, settings))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_until_cancelled(serving))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield origin
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()


def needed(path: Path) -> Path:
    """Return a path that tools/setup creates; if it is missing, the test of root fails."""
    if path.exists():
        return path
    said = f"NOT TESTED: no {path.name}; run tools/setup, with apt and npm"
    if os.geteuid() == 0:
        pytest.fail(said, pytrace=False)
    pytest.skip(said)


async def _until_cancelled(serving: asyncio.Task[None]) -> None:
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()
