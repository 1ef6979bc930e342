# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sessions in the network process: their bounds, and what hostile peers try."""

import contextlib
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.network.stream.exceptions import StreamReset
from libp2p.relay.circuit_v2.dcutr import DCUtRProtocol
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.quic.stream import QUICStream
from multiaddr import Multiaddr

from fs_net.bridge import SESSION_CHUNK
from fs_net.host_process import guards, sessions
from fs_net.host_process.network_peer import NetworkPeer
from fs_net.host_process.yamux import MOST_HELD
from tests.net.host.stage import Eve, Stage, address_of, eve, eventually, program_of, run
from tests.walks import at_length
from tools.testing import patience

PROTOCOL = sessions.SESSION
QUIC = ("/ip4/127.0.0.1/udp/0/quic-v1",)
WINDOW = yamux.DEFAULT_WINDOW_SIZE


def numbers(node: NetworkPeer) -> list[int]:
    return list(node.sessions._sessions)


async def first(node: NetworkPeer) -> int:
    """Return the number of the session that a peer has opened."""
    assert await eventually(lambda: numbers(node))
    return numbers(node)[0]


def play(tmp_path: Path, scene: Callable[[NetworkPeer, Eve], Awaitable[Any]]) -> Any:
    """Run a scene with a peer that serves sessions, and a peer that breaks rules."""

    async def main() -> Any:
        node = Stage(tmp_path).node()
        program_of(node).serves_sessions = True
        async with node.running(), eve() as attacker:
            with trio.fail_after(patience.seconds(40)):
                return await scene(node, attacker)

    return run(lambda: trio.run(main))


def test_bytes_pass_both_ways_in_order_and_end(tmp_path: Path) -> None:
    async def main() -> tuple[bool, bytes]:
        stage = Stage(tmp_path)
        provider, client = stage.node(), stage.node(is_full_node=False)
        program_of(provider).serves_sessions = True
        async with provider.running(), client.running():
            peer = await client.connect(address_of(provider), 10)
            ours = await client.sessions.open(peer, 10)
            theirs = await first(provider)
            sent = bytes(range(256)) * (4 * WINDOW // 256)  # more than any window
            heard = bytearray()

            async def hear() -> None:
                while chunk := await provider.sessions.read(theirs):
                    assert len(chunk) <= SESSION_CHUNK
                    heard.extend(chunk)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear)
                for start in range(0, len(sent), SESSION_CHUNK):
                    await client.sessions.write(ours, sent[start : start + SESSION_CHUNK])
                await provider.sessions.write(theirs, b"back")
                back = await client.sessions.read(ours)
                await client.sessions.close(ours)
            await provider.sessions.close(theirs)
            assert not numbers(client)
            assert not numbers(provider)
            return bytes(heard) == sent, back

    assert run(lambda: trio.run(main)) == (True, b"back")


def test_who_serves_none_refuses(tmp_path: Path) -> None:
    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        program_of(node).serves_sessions = False
        with contextlib.suppress(Exception):  # it may end while it is negotiated
            await attacker.open(node, PROTOCOL)
        assert await eventually(lambda: node.sessions.refused["not served"])
        return numbers(node)

    assert play(tmp_path, scene) == []


@pytest.mark.parametrize("bound", ["_OF_ONE_PEER", "_INCOMING"])
def test_a_flood_of_streams_is_refused(
    bound: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_OF_ONE_PEER", 100)
    monkeypatch.setattr(sessions, bound, 3)

    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        for _ in range(8):
            with contextlib.suppress(Exception):
                await attacker.open(node, PROTOCOL)
        await eventually(lambda: node.sessions.refused["too many sessions"] == 5)
        return len(numbers(node)), node.sessions.refused["too many sessions"]

    assert play(tmp_path, scene) == (3, 5)


def test_a_place_is_free_again_when_its_peer_is_gone(tmp_path: Path) -> None:
    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        stream = await attacker.open(node, PROTOCOL)
        number = await first(node)
        await stream.reset()
        with contextlib.suppress(StreamReset):
            assert await node.sessions.read(number) == b""
        await node.sessions.abort(number)
        return numbers(node)

    assert play(tmp_path, scene) == []


def test_nothing_is_read_that_the_program_does_not_ask_for(tmp_path: Path) -> None:
    """The data waits at the peer, because the window stops an honest sender."""

    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        stream = await attacker.open(node, PROTOCOL)
        number = await first(node)
        with trio.move_on_after(1):
            await stream.write(bytes(8 * WINDOW))
        waiting = waiting_at(node)
        assert len(await node.sessions.read(number)) == SESSION_CHUNK
        return waiting

    assert play(tmp_path, scene) <= WINDOW + 1024  # plus the bytes of negotiation


@pytest.mark.parametrize("is_guarded", [True, *at_length(False)])
def test_quic_cuts_off_who_sends_what_nobody_reads(
    is_guarded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_guarded:
        monkeypatch.setattr(guards, "bound_quic", lambda: None)

    async def main() -> int:
        stage = Stage(tmp_path)
        ours, theirs = (stage.node(listen=QUIC) for _ in range(2))
        program_of(ours).serves_sessions = True
        async with ours.running(), theirs.running():
            peer = await theirs.connect(address_of(ours), 10)
            flooding = await theirs.sessions.open(peer, 10)
            stream: Any = ours.sessions._sessions[await first(ours)].stream
            most = 0
            with contextlib.suppress(Exception), trio.move_on_after(patience.seconds(5)):
                for _ in range(2 * MOST_HELD // SESSION_CHUNK):
                    await theirs.sessions.write(flooding, bytes(SESSION_CHUNK))
                    most = max(most, len(stream.muxed_stream._receive_buffer))
            return most

    assert (run(lambda: trio.run(main)) <= MOST_HELD) is is_guarded


def test_quic_leaves_silence_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, QUIC would reset a stream that is silent for 30 s."""
    make = QUICStream.__init__

    def impatient(self: QUICStream, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.READ_TIMEOUT = 1.0

    monkeypatch.setattr(QUICStream, "__init__", impatient)

    async def main() -> bytes:
        stage = Stage(tmp_path)
        ours, theirs = (stage.node(listen=QUIC) for _ in range(2))
        program_of(ours).serves_sessions = True
        async with ours.running(), theirs.running():
            peer = await theirs.connect(address_of(ours), 10)
            number = await theirs.sessions.open(peer, 10)
            heard = b""

            async def hear() -> None:
                nonlocal heard
                heard = await ours.sessions.read(await first(ours))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear)
                await trio.sleep(1.5)
                await theirs.sessions.write(number, b"after a silence")
            return heard

    assert run(lambda: trio.run(main)) == b"after a silence"


def test_a_huge_frame_ends_the_connection(tmp_path: Path) -> None:
    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        stream: Any = await attacker.open(node, PROTOCOL)
        await first(node)
        muxed = stream.muxed_stream
        header = struct.pack(
            yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, muxed.stream_id, WINDOW + 1
        )
        await muxed.conn._write_frame(header)
        return await eventually(lambda: not node.host.get_connected_peers())

    assert play(tmp_path, scene)


def test_windows_do_not_grow(tmp_path: Path) -> None:
    """A fast reader would otherwise get a window of 16 MiB, and hold as much when it stops."""

    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        stream = await attacker.open(node, PROTOCOL)
        number = await first(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write, bytes(8 * WINDOW))
            taken = 0
            while taken < 8 * WINDOW:
                taken += len(await node.sessions.read(number))
        with trio.move_on_after(1):
            await stream.write(bytes(8 * WINDOW))
        return waiting_at(node)

    assert play(tmp_path, scene) <= 2 * WINDOW


def test_who_does_not_read_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_STALL", 0.5)

    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        await attacker.open(node, PROTOCOL)
        number = await first(node)
        with pytest.raises(trio.TooSlowError):
            while True:
                await node.sessions.write(number, bytes(SESSION_CHUNK))
        return numbers(node), node.sessions.refused["stalled"]

    assert play(tmp_path, scene) == ([], 1)


def test_silence_ends_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_SILENCE", 0.3)

    async def scene(node: NetworkPeer, attacker: Eve) -> Any:
        await attacker.open(node, PROTOCOL)
        number = await first(node)
        await node.sessions.end_silent()
        assert numbers(node) == [number]  # not yet
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                with pytest.raises(EOFError):
                    await node.sessions.read(number)

            nursery.start_soon(read)
            await trio.sleep(0.4)
            await node.sessions.end_silent()
        return numbers(node), node.sessions.refused["silent"]

    assert play(tmp_path, scene) == ([], 1)


def test_we_open_few_ourselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_OPENED", 2)

    async def main() -> int:
        stage = Stage(tmp_path)
        provider, client = stage.node(), stage.node(is_full_node=False)
        program_of(provider).serves_sessions = True
        async with provider.running(), client.running():
            peer = await client.connect(address_of(provider), 10)
            for _ in range(2):
                await client.sessions.open(peer, 10)
            with pytest.raises(RuntimeError, match="too many"):
                await client.sessions.open(peer, 10)
            return len(numbers(client))

    assert run(lambda: trio.run(main)) == 2


def test_a_session_through_a_full_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider has only a reservation, and still knows whom it talks to."""

    async def never(_: DCUtRProtocol) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(DCUtRProtocol, "_auto_drive_loop", never)

    async def main() -> tuple[bytes, bool, bool]:
        stage = Stage(tmp_path)
        full, provider, client = (stage.node(is_full_node=each < 1) for each in range(3))
        program_of(provider).serves_sessions = True
        async with full.running(), provider.running(), client.running():
            for each in (provider, client):
                await each.connect(address_of(full), 10)
            assert await provider.reserve(full.host.get_id().to_bytes(), 10)
            name = provider.host.get_id()
            circuit = Multiaddr(f"{address_of(full)}/p2p-circuit/p2p/{name}")
            await client.relay._transport.dial(circuit)  # no hole punching follows
            ours = await client.sessions.open(name.to_bytes(), 10)
            theirs = await first(provider)
            await client.sessions.write(ours, b"through the relay")
            heard = await provider.sessions.read(theirs)
            told = program_of(provider).sessions == [client.host.get_id().to_bytes()]
            network: Any = client.host.get_network()
            ways = [str(each.get_transport_addresses()) for each in network.connections[name]]
            return heard, told, all("p2p-circuit" in each for each in ways)

    assert run(lambda: trio.run(main)) == (b"through the relay", True, True)


def waiting_at(node: NetworkPeer) -> int:
    """Return the bytes that peers sent and nobody read."""
    connections: Any = node.host.get_network().connections
    return sum(
        len(buffer)
        for each in connections.values()
        for one in (each if isinstance(each, list) else [each])
        for buffer in one.muxed_conn.stream_buffers.values()
        if len(buffer) > 1024  # smaller buffers hold libp2p's own messages
    )
