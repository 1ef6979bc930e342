# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Ids that are ground to be close to a name, and hosts with these ids that serve a false DHT."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.utils import encode_varint_prefixed
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from fs_net.host_process.guards import dht_protocol
from tests.net.host.stage import LOOPBACK
from tests.net.world import NETWORK

TRIED = 2000  # key pairs


def ground(name: str, count: int) -> list[KeyPair]:
    """Return the key pairs whose ids are closest to a name, out of TRIED."""
    target = int.from_bytes(sha256(name.encode()).digest(), "big")

    def distance(pair: KeyPair) -> int:
        place = sha256(ID.from_pubkey(pair.public_key).to_bytes()).digest()
        return int.from_bytes(place, "big") ^ target

    return sorted((create_new_key_pair() for _ in range(TRIED)), key=distance)[:count]


@asynccontextmanager
async def sybils(name: str, count: int, *, silent: int) -> AsyncIterator[list[IHost]]:
    """Run hosts around a name: some are silent, and the others name only each other."""
    async with AsyncExitStack() as stack:
        hosts: list[IHost] = []
        for number, pair in enumerate(ground(name, count)):
            host = new_host(key_pair=pair, listen_addrs=[Multiaddr(LOOPBACK[0])])
            await stack.enter_async_context(host.run(listen_addrs=[Multiaddr(LOOPBACK[0])]))
            handler = _say_nothing if number < silent else _liar(hosts)
            host.set_stream_handler(dht_protocol(NETWORK), handler)
            hosts.append(host)
        yield hosts


async def _say_nothing(stream: INetStream) -> None:
    await trio.sleep_forever()


def _liar(others: list[IHost]) -> Callable[[INetStream], Awaitable[None]]:
    """Claim to store records, return none, and name only peers of its own kind."""

    async def lie(stream: INetStream) -> None:
        asked = Message()
        asked.ParseFromString(await read_varint_prefixed_bytes_limited(stream, 1 << 20))
        said = Message(type=asked.type, key=asked.key)
        if asked.type == Message.MessageType.PUT_VALUE:
            said.record.CopyFrom(asked.record)
        for other in others:
            peer = said.closerPeers.add()
            peer.id = other.get_id().to_bytes()
            peer.addrs.extend(each.to_bytes() for each in other.get_addrs())
        await stream.write(encode_varint_prefixed(said.SerializeToString()))
        await stream.close()

    return lie


async def approach(hosts: list[IHost], victim: Callable[[IHost], Awaitable[None]]) -> None:
    """Let all hosts do something to a victim, a few at a time."""
    limit = trio.CapacityLimiter(6)

    async def one(host: IHost) -> None:
        async with limit:
            await victim(host)

    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(one, host)
