# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sessions from program to program, each with its own network process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from fs_net import session as session_module
from fs_net.bridge import SESSION_CHUNK, Settings
from fs_net.errors import HostFailed
from fs_net.host import Host
from fs_net.session import Session
from tests.net.test_host import Program, address_of, eventually, play
from tests.net.world import NETWORK

Serve = Callable[[Session], Awaitable[None]]


@asynccontextmanager
async def host(
    folder: Path, serve: Serve | None = None, *, is_full_node: bool = False
) -> AsyncIterator[Host]:
    listen = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
    settings = Settings(str(folder), NETWORK, listen, is_full_node=is_full_node)
    made = Host(settings, Program(), on_session=serve)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def echo(session: Session) -> None:
    while data := await session.read(SESSION_CHUNK):
        session.write(data)
    await session.close()


@asynccontextmanager
async def pair(folder: Path, serve: Serve | None) -> AsyncIterator[Session]:
    """A client's session with a provider."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(host(folder / "provider", serve))
        client = await stack.enter_async_context(host(folder / "client"))
        await client.connect(await address_of(provider))
        session = await client.open_session(provider.peer)
        yield session
        session.abort()


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    async def scene() -> None:
        async with pair(tmp_path, echo) as session:
            said = bytes(range(256)) * 1024
            heard = b""
            for start in range(0, len(said), 1 << 16):
                session.write(said[start : start + (1 << 16)])
                while len(heard) < start + (1 << 16):
                    heard += await session.read(1000)
            assert heard == said
            await session.close()

    play(scene)


def test_a_reader_that_was_cancelled_has_lost_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with pair(tmp_path, echo) as session:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await session.read(1)
            session.write(b"all of it")
            assert [await session.read(4) for _ in range(3)] == [b"all ", b"of i", b"t"]

    play(scene)


def test_nobody_serves_them_unless_the_program_does(tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises((ConnectionError, HostFailed)):
            async with pair(tmp_path, None) as session:
                session.write(b"hello")
                assert await session.read(1) == b""
                raise ConnectionResetError

    play(scene)


def test_who_does_not_read_fills_no_memory(tmp_path: Path) -> None:
    """The program stops at its bound, however the peer stops reading."""
    held: list[Session] = []

    async def keep(session: Session) -> None:
        held.append(session)
        await asyncio.Event().wait()

    async def scene() -> None:
        async with pair(tmp_path, keep) as session:
            await eventually(lambda: held)
            while session.unsent < session_module.MAX_UNSENT // 2:
                session.write(bytes(SESSION_CHUNK))
                await asyncio.sleep(0)
            session.write(bytes(session_module.MAX_UNSENT))
            assert session.unsent == 0  # the session was ended
            with pytest.raises(ConnectionError):
                await session.read(1)

    play(scene)


def test_the_end_of_the_process_ends_its_sessions(tmp_path: Path) -> None:
    async def scene() -> None:
        async with host(tmp_path / "provider", echo) as provider, host(tmp_path / "client") as us:
            await us.connect(await address_of(provider))
            session = await us.open_session(provider.peer)
            session.write(b"x")
            assert await session.read(1) == b"x"
            reading = asyncio.create_task(session.read(1))
            await asyncio.sleep(0)
            assert us._process is not None
            us._process.kill()
            with pytest.raises(ConnectionResetError):
                await reading
            await us.wait_ready()
            session.write(b"lost")  # the next process does not know this session
            with pytest.raises(ConnectionResetError):
                await session.read(1)

    play(scene)


def test_through_a_full_node(tmp_path: Path) -> None:
    """The provider has only a reservation, and the id of its peer is proved all the same."""
    peers = []

    async def serve(session: Session) -> None:
        peers.append(session.peer)
        await echo(session)

    async def scene() -> None:
        async with (
            host(tmp_path / "full", is_full_node=True) as full,
            host(tmp_path / "provider", serve) as provider,
            host(tmp_path / "client") as client,
        ):
            relay = await address_of(full)
            for each in (provider, client):
                await each.connect(relay)
            assert await provider.reserve(full.peer)
            name = (await address_of(provider)).rpartition("/")[2]
            await client.dial_circuit(f"{relay}/p2p-circuit/p2p/{name}")
            session = await client.open_session(provider.peer)
            session.write(b"through the relay")
            assert await session.read(100) == b"through the relay"
            assert peers == [client.peer]
            await session.close()

    play(scene)
