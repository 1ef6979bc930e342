# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The socket that strangers can reach."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from fs_net.core.sources import source_of
from fs_net.fullnode.http import server
from fs_net.fullnode.http.app import create_app
from fs_net.fullnode.http.server import listen, serve
from fs_net.fullnode.http.settings import ServerSettings
from fs_net.fullnode.http.sign_in import Site
from fs_net.fullnode.http.visitors import Limits
from tests.net.http.fair import TOKEN, Book, fair
from tests.net.http.stage import LOOPBACK, NO_LIMITS
from tests.net.http.wallets import recover
from tests.net.world import NETWORK, NOW
from tools.testing import patience

DEADLINE = patience.seconds(20.0)
FEW = Limits(requests=0.001, requests_burst=1)


@asynccontextmanager
async def running(limits: Limits = NO_LIMITS, proxy: str | None = None) -> AsyncIterator[int]:
    """Run a full node's server and yield its port."""
    listener = listen(LOOPBACK, 0)
    port: int = listener.getsockname()[1]
    settings = ServerSettings(Site(f"http://{LOOPBACK}:{port}", 1), NETWORK, proxy, limits)
    app = create_app(fair(5)[0], Book(), TOKEN, recover, settings, lambda: NOW)
    serving = asyncio.create_task(serve(app, listener, settings))
    try:
        async with asyncio.timeout(DEADLINE):
            yield port
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def is_hung_up(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def statuses(port: int, *forwarded: str) -> list[int]:
    async with httpx.AsyncClient() as client:
        found = []
        for each in forwarded:
            answer = await client.get(
                f"http://{LOOPBACK}:{port}/api/v1/statistics", headers={"X-Forwarded-For": each}
            )
            found.append(answer.status_code)
        return found


def test_who_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEAD_DEADLINE", 0.05)

    async def run() -> None:
        async with running() as port:
            for said in (b"", b"GET /api/v1/statistics HTTP/1.1\r\nHost: x\r\n"):
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.write(said)
                assert await is_hung_up(reader)
                writer.close()

    asyncio.run(run())


def test_one_address_holds_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MAX_EACH", 3)

    async def run() -> None:
        async with running() as port:
            held = [await asyncio.open_connection(LOOPBACK, port) for _ in range(3)]
            for _, writer in held:
                writer.write(b"GET /api/v1/statistics HTTP/1.1\r\nHost: x\r\n\r\n")
            for reader, _ in held:
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            with pytest.raises(httpx.TransportError):
                await statuses(port, "")
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            answered: list[int] = []
            while not answered:  # the server needs a moment to see that they are gone
                with suppress(httpx.TransportError):
                    answered = await statuses(port, "")
            assert answered == [200]

    asyncio.run(run())


def test_a_forwarded_address_is_believed_from_the_proxy_alone() -> None:
    async def run() -> None:
        async with running(FEW) as port:
            assert await statuses(port, "192.0.2.1", "192.0.2.2") == [200, 429]
        async with running(FEW, proxy="192.0.2.100") as port:
            assert await statuses(port, "192.0.2.1", "192.0.2.2") == [200, 429]
        async with running(FEW, proxy=LOOPBACK) as port:
            assert await statuses(port, "192.0.2.1", "192.0.2.2", "192.0.2.1") == [200, 200, 429]

    asyncio.run(run())


def test_events_come_over_the_socket_and_end_with_the_server() -> None:
    async def run() -> None:
        async with running() as port, httpx.AsyncClient() as client:
            url = f"http://{LOOPBACK}:{port}/api/v1/events"
            async with client.stream("GET", url) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert answer.headers["cache-control"] == "no-store"
                lines = answer.aiter_lines()
                assert await anext(lines) == "retry: 3000"
            wrong = await client.get(url, params={"provider": "0x1"})
            assert (wrong.status_code, json.loads(wrong.content)["status"]) == (422, 422)

    asyncio.run(run())


def test_a_taken_address_is_an_error() -> None:
    with listen(LOOPBACK, 0) as taken, pytest.raises(OSError, match="in use"):
        listen(LOOPBACK, taken.getsockname()[1])


def test_both_families_are_listened_on() -> None:
    with listen("::1", 0) as found:
        assert found.family is socket.AF_INET6


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_machine_is_one_source(host: str, source: str) -> None:
    assert source_of(host) == source
