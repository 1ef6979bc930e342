# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How connections are made, and how much memory one connection may use."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from multiaddr import Multiaddr

from fs_net.host_process import making
from fs_net.host_process.network_peer import NetworkPeer
from fs_net.host_process.yamux import MOST_HELD
from tests.net.host.stage import LOOPBACK, Stage, eve, eventually, is_alive, peer_of, run
from tools.testing import patience

PART = 200_000  # bytes on a stream, within its window
HEAD = b"\x13/multistream/1.0.0\n"


def held(victim: NetworkPeer) -> int:
    """Return the number of bytes that wait to be read."""
    network: Any = victim.host.get_network()
    return sum(
        len(buffer)
        for connections in network.connections.values()
        for connection in connections
        for buffer in connection.muxed_conn.stream_buffers.values()
    )


def sample(victim: NetworkPeer, most: list[int]) -> Iterator[None]:
    while True:
        most[0] = max(most[0], held(victim))
        yield


def most_held(folder: Path, data: bytes) -> int:
    """Return the most that is held while a peer opens 40 streams and sends too much on each."""

    async def main() -> int:
        victim = Stage(folder).node()
        most = [0]
        async with victim.running(), eve() as attacker, trio.open_nursery() as nursery:

            async def watch() -> None:
                for _ in sample(victim, most):
                    await trio.sleep(0.01)

            nursery.start_soon(watch)
            peer = await attacker.meet(victim)
            network: Any = attacker.host.get_network()
            with contextlib.suppress(Exception), trio.move_on_after(10):
                for _ in range(40):
                    stream = await network.new_stream(peer)
                    await stream.write(data)
            await trio.sleep(0.5)
            assert await is_alive(victim)
            nursery.cancel_scope.cancel()
        return most[0]

    return run(lambda: trio.run(main))


# These are refused streams, and streams that are still being negotiated.
SAID = {
    "rubbish": HEAD + bytes(PART),
    "nothing": HEAD[:5] + b"",
    "half": HEAD + b"\xff\xff\x03" * PART,
}


@pytest.mark.parametrize("data", SAID.values(), ids=SAID)
def test_a_connection_holds_no_more_than_its_share(data: bytes, tmp_path: Path) -> None:
    assert most_held(tmp_path, data) <= MOST_HELD


def test_the_library_would_keep_what_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "bound_yamux", lambda: None)
    assert most_held(tmp_path, SAID["rubbish"]) > 4 * MOST_HELD


def test_who_exceeds_a_window_is_gone(tmp_path: Path) -> None:
    async def main() -> bool:
        victim = Stage(tmp_path).node()
        async with victim.running(), eve() as attacker:
            stream: Any = await attacker.open(victim, "/flowshield/question/1")
            await stream.write(b"\0\0\0\x04ping")
            await stream.read(8)  # nobody reads this stream any further
            network: Any = victim.host.get_network()
            [connection] = network.connections[attacker.id]
            stream.muxed_stream.send_window = 1 << 30  # the attacker widens its own window
            with contextlib.suppress(Exception), trio.move_on_after(10):
                for _ in range(64):
                    await stream.write(bytes(60_000))
            assert await is_alive(victim)
            return await eventually(connection.event_closed.is_set)

    assert run(lambda: trio.run(main))


def connects(folder: Path, **options: Any) -> bool:
    """Return whether a host with no other protocol can connect."""

    async def main() -> bool:
        victim = Stage(folder).node()
        listen = [Multiaddr(LOOPBACK[0])]
        stranger = new_host(key_pair=options.pop("pair"), listen_addrs=listen, **options)
        async with victim.running(), stranger.run(listen_addrs=listen):
            try:
                with trio.fail_after(patience.seconds(5)):
                    await stranger.connect(peer_of(victim))
            except Exception:  # noqa: BLE001 - libp2p has many errors for it
                return False
            return True

    return run(lambda: trio.run(main))


def in_plain_text() -> dict[str, Any]:
    pair = create_new_key_pair()
    return {"pair": pair, "sec_opt": {TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(pair)}}


def over_mplex() -> dict[str, Any]:
    return {"pair": create_new_key_pair(), "muxer_opt": {TProtocol(MPLEX_PROTOCOL_ID): Mplex}}


@pytest.mark.parametrize("how", [in_plain_text, over_mplex])
def test_nobody_gets_in(how: Any, tmp_path: Path) -> None:
    assert not connects(tmp_path, **how())


@pytest.mark.parametrize("how", [in_plain_text, over_mplex])
def test_by_default_somebody_would(
    how: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_defaults(**options: Any) -> Any:
        return new_host(**{**options, "sec_opt": None, "muxer_opt": None})

    monkeypatch.setattr(making, "new_host", with_defaults)
    assert connects(tmp_path, **how())
