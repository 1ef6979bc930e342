# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Our peers in one process with a bare libp2p host, which can send anything."""

import contextlib
import os
import pickle
import sys
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

from fs_net.bridge import Decision, Settings
from fs_net.host_process.link import Link
from fs_net.host_process.network_peer import NetworkPeer
from tests.net.world import NETWORK
from tools.testing import patience

MESHSUB = TProtocol("/meshsub/1.1.0")
TOPIC = "providers"
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)

Result = TypeVar("Result")


class Program(Link):
    """The program at the other end of the link, in the same process."""

    def __init__(self) -> None:
        self.dropped: Any = {}
        self.gossip: list[bytes] = []
        self.messages: list[bytes] = []
        self.sessions: list[bytes] = []
        self.serves_sessions = False
        self.decide: Callable[[bytes], Any] = lambda _: Decision.ACCEPT

    async def call(self, name: str, *arguments: Any, deadline: float) -> Any:
        if name == "question":
            return arguments[1][::-1]
        if name == "session":
            self.sessions.append(arguments[0])
            return self.serves_sessions
        self.gossip.append(arguments[2])
        return self.decide(arguments[2])

    def tell(self, name: str, *arguments: Any) -> None:
        self.messages.append(arguments[1])


class Stage:
    """Makes peers whose files are below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def node(
        self,
        *,
        is_full_node: bool = True,
        network: bytes = NETWORK,
        listen: tuple[str, ...] = LOOPBACK,
        max_connections: int = 100,
        max_per_source: int = 100,
        named: tuple[str, ...] = (),
    ) -> NetworkPeer:
        self._count += 1
        settings = Settings(
            folder=str(self._folder / str(self._count)),
            network=network,
            listen=listen,
            is_full_node=is_full_node,
            topics=(TOPIC,),
            max_connections=max_connections,
            max_per_source=max_per_source,
            named=named,
        )
        return NetworkPeer(settings, Program())


def program_of(node: NetworkPeer) -> Program:
    link = node._link
    assert isinstance(link, Program)
    return link


def address_of(node: NetworkPeer) -> str:
    return str(node.host.get_addrs()[0])


def peer_of(node: NetworkPeer) -> PeerInfo:
    return info_from_p2p_addr(Multiaddr(address_of(node)))


class Eve:
    """A peer that breaks rules."""

    def __init__(self, host: IHost, topic: str = TOPIC) -> None:
        self.host, self._topic = host, topic
        self.id = host.get_id()

    async def meet(self, victim: NetworkPeer) -> ID:
        await self.host.connect(peer_of(victim))
        return victim.host.get_id()

    async def open(self, victim: NetworkPeer, protocol: str = MESHSUB) -> INetStream:
        return await self.host.new_stream(await self.meet(victim), [TProtocol(protocol)])

    async def say(self, peer: ID, protocol: TProtocol, data: bytes, *, close: bool = True) -> None:
        """Send on a new stream; the other side may reset it."""
        with contextlib.suppress(Exception), trio.move_on_after(5):
            stream = await self.host.new_stream(peer, [protocol])
            await stream.write(data)
            if close:
                await stream.close()

    def message(self, data: bytes, number: int = 1, /, **fields: Any) -> rpc_pb2.Message:
        """Make gossip that Eve signs, unless ``fields`` says otherwise."""
        said = rpc_pb2.Message(
            data=data,
            topicIDs=[self._topic],
            from_id=self.id.to_bytes(),
            seqno=number.to_bytes(8, "big"),
        )
        payload = b"libp2p-pubsub:" + said.SerializeToString()
        said.signature = self.host.get_private_key().sign(payload)
        for name, value in fields.items():
            setattr(said, name, value)
        return said


def rpc(*messages: rpc_pb2.Message) -> bytes:
    """Return gossip in its wire format."""
    return encode_varint_prefixed(rpc_pb2.RPC(publish=messages).SerializeToString())


@asynccontextmanager
async def eve(topic: str = TOPIC) -> AsyncIterator[Eve]:
    host = new_host(key_pair=create_new_key_pair(), listen_addrs=[Multiaddr(LOOPBACK[0])])
    assert isinstance(host, BasicHost)
    async with host.run(listen_addrs=[Multiaddr(LOOPBACK[0])]):
        yield Eve(host, topic)


async def eventually(condition: Callable[[], Any], seconds: float = 10) -> bool:
    """Return whether the condition became true in time."""
    with trio.move_on_after(patience.seconds(seconds)):
        while not condition():  # noqa: ASYNC110 - what is waited for is libp2p's state
            await trio.sleep(0.02)
        return True
    return bool(condition())


async def meshed(*nodes: NetworkPeer) -> None:
    """Connect all to the first, and wait until they form a mesh."""
    for node in nodes[1:]:
        await node.connect(address_of(nodes[0]), 10)
    for node in nodes:
        mesh = cast(Any, node.gossip.router).mesh
        assert await eventually(partial(mesh.get, TOPIC)), "no mesh"


async def is_alive(victim: NetworkPeer) -> bool:
    """Return whether it still serves an honest peer."""
    async with eve() as alice:
        stream = await alice.open(victim, "/flowshield/question/1")
        await stream.write(len(b"ping").to_bytes(4, "big") + b"ping")
        with trio.fail_after(patience.seconds(10)):
            return await stream.read(8) == len(b"gnip").to_bytes(4, "big") + b"gnip"


def survives(victim: NetworkPeer, attack: Callable[[NetworkPeer, Eve], Awaitable[None]]) -> bool:
    """Return whether the peer serves others after the attack; call it within ``run``."""

    async def main() -> bool:
        async with victim.running(), eve() as attacker:
            await attack(victim, attacker)
            await trio.sleep(0.3)
            return await is_alive(victim)

    try:
        return trio.run(main)
    except (Exception, BaseExceptionGroup):  # noqa: BLE001 - it can die in many ways
        return False


def run(scene: Callable[[], Result]) -> Result:
    """Run a scene in a process of its own, because libp2p leaves sockets and more behind.

    Return or raise what the scene does; raise AssertionError with its text if it died.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking does not copy libp2p's threads
        child = os.fork()
    if child == 0:
        _play(scene, writing)
    os.close(writing)
    with open(reading, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    assert said, "the scene's process died"
    result, failure = pickle.loads(said)  # noqa: S301 - from our own child
    assert failure is None, failure
    returned: Result = result
    return returned


def _play(scene: Callable[[], Any], writing: int) -> NoReturn:
    warnings.simplefilter("ignore")
    try:
        said = pickle.dumps((scene(), None))
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        told = traceback.TracebackException.from_exception(error, max_group_depth=99)
        said = pickle.dumps((None, "".join(told.format())))
    with open(writing, "wb") as stream:
        stream.write(said)
    sys.stdout.flush()
    os._exit(0)
