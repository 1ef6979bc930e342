"""A full node among attackers: its index does not move, and its memory stays bounded."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from fs_net.bridge import Settings
from fs_net.core.batch import Outbox
from fs_net.host import Host
from tests.net.full_node import FullNode
from tests.net.host.stage import MESHSUB, TOPIC, Eve, eve, rpc, run
from tests.net.world import HOUR, NETWORK, NOW, Provider, resident

GROWTH = 48 << 20  # bytes that an attack may cost


async def fuzzed_frames(eve: Eve, peer: object, full: FullNode) -> None:
    """Random bytes and flipped bits of good gossip, a stream for each."""
    rng = random.Random(1)
    for number in range(60):
        good = bytearray(rpc(eve.message(b"data" * 20, number)))
        for _ in range(rng.randrange(1, 8)):
            good[rng.randrange(1, len(good))] ^= rng.randrange(1, 256)
        body = bytes(good) if number % 2 else encode_varint_prefixed(rng.randbytes(90))
        await say(eve, peer, MESHSUB, body)


async def huge_frames(eve: Eve, peer: object, full: FullNode) -> None:
    """Frames that announce gigabytes, on every protocol, and a megabyte of gossip."""
    for protocol in (MESHSUB, "/flowshield/messages/1", "/flowshield/question/1"):
        await say(eve, peer, protocol, b"\xff\xff\xff\xff\x7f" + bytes(1000))
    await say(eve, peer, MESHSUB, rpc(eve.message(bytes(1 << 20))))


async def slow_streams(eve: Eve, peer: object, full: FullNode) -> None:
    """Streams that begin and never end, more than a peer may have."""
    for protocol in ("/flowshield/messages/1", "/flowshield/question/1"):
        for _ in range(20):
            await say(eve, peer, protocol, b"\x00", close=False)


async def flood(eve: Eve, peer: object, full: FullNode) -> None:
    """Gossip and messages as fast as the connection takes them."""
    gossip = b"".join(rpc(eve.message(b"flood", number)) for number in range(3000))
    await say(eve, peer, MESHSUB, gossip)
    heartbeat = full.bob.heartbeat(NOW).raw
    framed = len(heartbeat).to_bytes(4, "big") + heartbeat
    await say(eve, peer, "/flowshield/messages/1", framed * 5000)


async def forged_and_replayed(eve: Eve, peer: object, full: FullNode) -> None:
    """What Bob never said, and what he said before."""
    crook = Provider(1)
    crook.keys = Provider(2).keys
    crook.announcer = Provider(2).announcer
    outbox = Outbox()
    outbox.add(crook.record(NOW + 1000, price_per_gib=1))
    outbox.add(crook.heartbeat(NOW + 1000))
    forged = list(outbox.drain())
    for said in (full.record, full.older):
        outbox.add(said)
        forged += outbox.drain()
    stranger = Provider(99)
    outbox.add(stranger.record(NOW))
    forged += outbox.drain()
    messages = [eve.message(data, number) for number, data in enumerate(forged)]
    await say(eve, peer, MESHSUB, rpc(*messages))


async def say(eve: Eve, peer: object, protocol: str, data: bytes, *, close: bool = True) -> None:
    """Say it on a stream of its own; that the other side resets it is its right."""
    try:
        with trio.move_on_after(5):
            stream = await eve.host.new_stream(peer, [protocol])  # type: ignore[arg-type,list-item]
            await stream.write(data)
            if close:
                await stream.close()
    except Exception:  # noqa: BLE001, S110 - what libp2p raises when it is reset
        pass


Attack = Callable[[Eve, object, FullNode], Awaitable[None]]
ATTACKS: list[Attack] = [
    fuzzed_frames,
    huge_frames,
    slow_streams,
    flood,
    forged_and_replayed,
]


def attacked(attack: Attack, address: str, full: FullNode) -> None:
    async def main() -> None:
        peer = info_from_p2p_addr(Multiaddr(address))
        async with eve() as attacker:
            await attacker.host.connect(peer)
            await attack(attacker, peer.peer_id, full)
            await trio.sleep(0.5)

    run(lambda: trio.run(main))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_moves_nothing(attack: Attack, tmp_path: Path) -> None:
    async def scene() -> None:
        full = FullNode()
        listen = ("/ip4/127.0.0.1/tcp/0",)
        settings = Settings(str(tmp_path / "full"), NETWORK, listen, (), True, (TOPIC,))
        host = Host(settings, full)
        await host.start()
        try:
            assert host.pid is not None
            before = resident(host.pid)
            address = (await host.info())["addresses"][0]
            await asyncio.to_thread(attacked, attack, address, full)
            grown = resident(host.pid) - before
            counters = (await host.info())["counters"]
            print(f"{attack.__name__}: {grown / 2**20:.1f} MiB more of {before / 2**20:.0f}")
            print(f"  counted: {counters}, refused: {dict(full.judge.refused)}")
            assert host.starts == 1  # it survived
            assert grown < GROWTH
            assert [each.raw for each in full.index.records] == [full.later.raw]
            assert full.index.entry(full.bob.address, NOW + HOUR // 2) is not None
            await still_serves(tmp_path, address, host.peer)
        finally:
            await host.close()

    asyncio.run(asyncio.wait_for(scene(), 90))


async def still_serves(folder: Path, address: str, peer: bytes) -> None:
    settings = Settings(str(folder / "alice"), NETWORK, ("/ip4/127.0.0.1/tcp/0",))
    alice = Host(settings, FullNode())
    await alice.start()
    try:
        await alice.connect(address)
        assert await alice.ask(peer, b"still there?") == b"still there?"
    finally:
        await alice.close()
