# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The application in this process, which tests ask without a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from fs_net.fullnode.http.app import create_app
from fs_net.fullnode.http.settings import ServerSettings
from fs_net.fullnode.http.sign_in import Site
from fs_net.fullnode.http.visitors import Limits
from tests.net.http.fair import TOKEN, Book, Fair, fair
from tests.net.http.stage import NO_LIMITS
from tests.net.http.wallets import recover
from tests.net.world import NETWORK, NOW, Provider

ORIGIN = "https://node.example"


@dataclass
class House:
    """A full node's page and API to ask; ``clock`` is its time, in ms."""

    catalogue: Fair
    providers: list[Provider]
    book: Book = field(default_factory=Book)
    limits: Limits = NO_LIMITS
    origin: str = ORIGIN
    clock: int = NOW

    @asynccontextmanager
    async def visited(self, client: str = "192.0.2.7") -> AsyncIterator[httpx.AsyncClient]:
        settings = ServerSettings(Site(self.origin, 1), NETWORK, limits=self.limits)
        app = create_app(self.catalogue, self.book, TOKEN, recover, settings, lambda: self.clock)
        transport = httpx.ASGITransport(app, client=(client, 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=self.origin) as visitor:
            yield visitor


Visit = Callable[[], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def house() -> House:
    return House(*fair(60))
