# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program's side of the network process: calls, deadlines, crashes, and how it closes."""

import asyncio
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fs_net import host as host_module
from fs_net.bridge import MAX_FRAME, Decision, Kind, Settings, Unpacker, pack
from fs_net.errors import HostFailed, HostGone, HostTimeout
from fs_net.host import Host
from fs_net.host_process.identity import load_identity
from fs_net.launchers import ForkServer
from fs_wire.errors import Malformed
from tests.net.world import NETWORK
from tools.testing import patience

TOPIC = "providers"


class Program:
    """Remembers the incoming messages."""

    def __init__(self) -> None:
        self.gossip: list[bytes] = []
        self.messages: list[tuple[bytes, bytes]] = []
        self.is_mute = False

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        self.gossip.append(data)
        return Decision.ACCEPT

    def on_message(self, peer: bytes, message: bytes) -> None:
        self.messages.append((peer, message))

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        if self.is_mute:
            await asyncio.sleep(3600)
        return question[::-1]


@asynccontextmanager
async def running(
    folder: Path,
    *,
    is_full_node: bool = True,
    max_memory: int = 1 << 30,
    within: float = 30.0,
) -> AsyncIterator[tuple[Host, Program]]:
    program = Program()
    listen = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
    settings = Settings(
        str(folder), NETWORK, listen, (), is_full_node, (TOPIC,), False, 50, max_memory
    )
    host = Host(settings, program)
    await host.start(within)
    try:
        yield host, program
    finally:
        await host.close()


async def address_of(host: Host, transport: str = "tcp") -> str:
    addresses: list[str] = (await host.info())["addresses"]
    return next(each for each in addresses if f"/{transport}/" in each)


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(patience.seconds(10)):
        while not condition():  # noqa: ASYNC110 - another process gives no event
            await asyncio.sleep(0.02)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), patience.seconds(60)))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_provider_speaks_to_a_full_node(tmp_path: Path, transport: str) -> None:
    async def scene() -> None:
        async with (
            running(tmp_path / "full") as (full, heard),
            running(tmp_path / "provider", is_full_node=False) as (provider, _),
        ):
            assert await provider.connect(await address_of(full, transport)) == full.peer
            for number in range(3):
                await provider.send(full.peer, bytes([number]))
            assert await provider.ask(full.peer, b"abc") == b"cba"
            await eventually(lambda: len(heard.messages) == 3)
            assert heard.messages == [(provider.peer, bytes([number])) for number in range(3)]
            await full.ban(provider.peer)
            with pytest.raises((HostFailed, HostTimeout)):
                await provider.ask(full.peer, b"abc", 2)

    play(scene)


def test_a_peer_that_does_not_answer_is_dialled_anew(tmp_path: Path) -> None:
    """A call that was given up may have left half a frame behind: the connection is of no use."""

    async def scene() -> None:
        async with (
            running(tmp_path / "full") as (full, mute),
            running(tmp_path / "provider", is_full_node=False) as (provider, _),
        ):
            mute.is_mute = True
            await provider.connect(await address_of(full))
            with pytest.raises(HostFailed):
                await provider.ask(full.peer, b"abc", 0.5)
            assert (await provider.info())["connected"] == []
            mute.is_mute = False
            await provider.connect(await address_of(full))
            assert await provider.ask(full.peer, b"abc") == b"cba"

    play(scene)


def test_the_same_peer_after_a_restart_and_a_key_of_ones_own(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path / "a") as (host, _):
            first = host.peer
        async with running(tmp_path / "a") as (host, _):
            assert host.peer == first
        async with running(tmp_path / "b") as (host, _):
            assert host.peer != first

    play(scene)
    key = tmp_path / "a" / "identity.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


def test_a_peer_is_dialled_where_it_is_and_not_where_it_was(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path / "provider", is_full_node=False) as (provider, _):
            for _ in range(3):
                async with running(tmp_path / "full") as (full, _):
                    assert await provider.connect(await address_of(full)) == full.peer
                with pytest.raises(HostFailed):
                    for _ in range(3):  # it may take a moment until its end is noticed
                        await provider.ask(full.peer, b"abc", 2)

    play(scene)


def test_calls_fail_fast_when_the_process_dies_and_it_is_started_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path) as (host, _):
            first, pid = host.peer, host.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            call = asyncio.create_task(host.info())
            await asyncio.sleep(0.1)
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(HostGone):
                await call
            assert time.monotonic() - killed < 1  # the call did not wait for its deadline
            with pytest.raises(HostGone):
                await host.info()
            await host.wait_ready()
            assert host.pid != pid and host.starts == 2
            assert (await host.info())["peer"] == first

    play(scene)


def test_a_handler_that_fails_costs_a_process_and_not_its_supervisor(tmp_path: Path) -> None:
    async def scene() -> None:
        async with (
            running(tmp_path / "full") as (full, heard),
            running(tmp_path / "provider", is_full_node=False) as (provider, _),
        ):

            def fail(peer: bytes, message: bytes) -> None:
                raise ZeroDivisionError

            heard.on_message = fail  # type: ignore[method-assign]
            await provider.connect(await address_of(full))
            await provider.send(full.peer, b"message")
            await eventually(lambda: full.starts == 2)
            await full.wait_ready()

    play(scene)


def test_a_call_has_a_deadline(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path) as (host, _):
            assert host.pid is not None
            os.kill(host.pid, signal.SIGSTOP)
            with pytest.raises(HostTimeout):
                await host.find_peer(host.peer, 0.1)
            os.kill(host.pid, signal.SIGCONT)

    play(scene)


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    async def scene() -> None:
        async with running(tmp_path) as (host, _):
            with pytest.raises(HostFailed):
                await host.connect("rubbish")
            with pytest.raises(HostFailed):
                await host.send(b"\x00\x24" + bytes(36), b"message", 1)

    play(scene)


def test_a_process_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing libp2p may hang, and then everybody who waits for it hangs too."""
    monkeypatch.setattr(host_module, "_GRACE", 0.5)

    async def scene() -> None:
        async with running(tmp_path) as (host, _):
            pid = host.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    play(scene)


def test_too_little_memory_ends_the_process_and_not_the_program(tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(HostGone):
            async with running(tmp_path, max_memory=16 << 20, within=5.0):
                pass

    play(scene)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_identity(tmp_path)
    (tmp_path / "identity.key").chmod(mode)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_identity(tmp_path)


def test_frames_are_bounded_and_checked() -> None:
    frame = pack(Kind.TELL, "ready", [b"x"])
    unpacker = Unpacker()
    assert unpacker.feed_untrusted(frame[:5]) == []
    assert unpacker.feed_untrusted(frame[5:] + frame) == [[Kind.TELL, "ready", [b"x"]]] * 2
    for bad in (
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x01\x00",
        b"\x00\x00\x00\x01\xff",
        b"\x00\x00\x00\x04\x83\x09\x00\x00",
    ):
        with pytest.raises(Malformed):
            Unpacker().feed_untrusted(bad)
    with pytest.raises(ValueError, match="frame of"):
        pack(Kind.TELL, "x", bytes(MAX_FRAME))


async def why_it_does_not_start(host: Host) -> str:
    starting = asyncio.create_task(host.start(60))
    await eventually(lambda: host.failure)
    with pytest.raises(HostGone) as gone:
        await host.wait_ready(0.01)
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    assert host.failure in str(gone.value)
    return str(gone.value)


def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Its folder is a file here."""
    folder = tmp_path / "folder"
    folder.touch()

    async def scene() -> None:
        host = Host(Settings(str(folder), NETWORK, ()), Program())
        why = await why_it_does_not_start(host)
        assert "the network process does not start" in why
        assert "File exists" in why

    play(scene)


def test_so_does_what_starts_processes_without_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds no libp2p here."""
    (tmp_path / "libp2p.py").write_text("raise ModuleNotFoundError('no libp2p here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def scene() -> None:
        launcher = ForkServer(os.getuid(), os.getgid())
        host = Host(Settings(str(tmp_path / "folder"), NETWORK, ()), Program(), launcher)
        assert "no libp2p here" in await why_it_does_not_start(host)

    play(scene)
