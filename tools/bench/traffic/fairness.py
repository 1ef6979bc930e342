# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether many active clients of one provider get equal shares.

Every client is an engine of its own, and all are in one namespace. A client's connection is bound
to its TUN. One process holds all ends of the connections. It fills the sending ends, and counts
what arrives at the others over the same seconds. So nobody starts late or stops early.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from fs_wire import uapi
from fs_wire.types import Endpoint, PrivateKey, PublicKey
from fs_wire.uapi_client import UapiClient
from tests.netns.peers import Engine, KeyPair, Peer, remove_sockets, running
from tests.netns.topology import Namespace, pair, unique_name
from tests.netns.waiting import wait_until
from tools.bench.figures import Sample, jain
from tools.bench.peers import BOB, FLOWSHIELD, WireGuard

_PORT = 5202
_SETTLING = 1.0  # seconds for the streams to find their rates
_DRAINING, _QUIET = 20.0, 0.5
_BLOCK = 1 << 16
_START_SECONDS = 120.0


def measure(vpn: WireGuard, _: Path, *, clients: int, seconds: float) -> Sample:
    """Measure both directions one after the other. Clients are native engines if these exist."""
    client = vpn.engine if FLOWSHIELD.missing() else FLOWSHIELD.engine
    with (
        pair() as net,
        running(vpn.engine, net.bob, (f"{BOB}/16",)) as provider,
        _started(client, net.alice, clients) as crowd,
        _connected(provider, crowd, (net.bob_v4, 51820)) as (outer, inner),
    ):
        for way, senders, receivers in (("there", outer, inner), ("back", inner, outer)):
            received = share(senders, receivers, seconds)
            yield f"jain_{way}", jain(received)
            yield f"sum_{way}", sum(received) * 8 / seconds / 1e6


def share(
    senders: Sequence[socket.socket], receivers: Sequence[socket.socket], seconds: float
) -> list[int]:
    """Return the bytes of each receiver in the same ``seconds``, while all send at full speed."""
    received = [0] * len(receivers)
    ended = threading.Event()
    block, room = bytes(_BLOCK), bytearray(4 * _BLOCK)

    def fill(number: int) -> None:
        senders[number].send(block)

    def count(number: int) -> None:
        received[number] += receivers[number].recv_into(room)

    threads = [
        threading.Thread(target=_serve, args=(senders, selectors.EVENT_WRITE, fill, ended)),
        threading.Thread(target=_serve, args=(receivers, selectors.EVENT_READ, count, ended)),
    ]
    with contextlib.ExitStack() as stack:
        # This must also run if Ctrl-C ends a sleep.
        for each in threads:
            each.start()
            stack.callback(each.join)
        stack.callback(ended.set)
        time.sleep(_SETTLING)
        before = list(received)
        time.sleep(seconds)
        after = list(received)
    _drain(receivers)
    return [late - early for early, late in zip(before, after, strict=True)]


def _drain(receivers: Sequence[socket.socket]) -> None:
    """Read data that is still on its way, so that it does not disturb the next measurement."""
    room = bytearray(4 * _BLOCK)
    with selectors.DefaultSelector() as selector:
        for each in receivers:
            selector.register(each, selectors.EVENT_READ, each)
        deadline = time.monotonic() + _DRAINING
        while time.monotonic() < deadline and (ready := selector.select(_QUIET)):
            for key, _ in ready:
                with contextlib.suppress(BlockingIOError):
                    key.data.recv_into(room)


def _serve(
    sockets: Sequence[socket.socket], event: int, act: Callable[[int], None], ended: threading.Event
) -> None:
    with selectors.DefaultSelector() as selector:
        for number, each in enumerate(sockets):
            selector.register(each, event, number)
        while not ended.is_set():
            for key, _ in selector.select(0.1):
                with contextlib.suppress(BlockingIOError):
                    act(key.data)


@contextlib.contextmanager
def _started(engine: Engine, home: Namespace, count: int) -> Iterator[list[Peer]]:
    """Start engines without peers, all at once."""
    for scope in ("all", "default"):
        home.sysctl(f"net/ipv4/conf/{scope}/rp_filter", 0)
    crowd = []
    try:
        for number in range(count):
            name = unique_name("crowd")
            process = home.start(*engine.argv, "-f", name, env={**engine.env, "FS_WG_THREADS": "1"})
            address = f"10.66.{1 + number // 250}.{1 + number % 250}/32"
            crowd.append(Peer(engine, home, home, name, KeyPair.generate(), (address,), process))
        for metric, each in enumerate(crowd):
            wait_until(each.alive, what=f"{engine.name} is ready", seconds=_START_SECONDS)
            each.bring_up()
            home.ip("route", "add", f"{BOB}/32", "dev", each.ifname, "metric", str(metric))
        yield crowd
    finally:
        for each in crowd:
            remove_sockets(each.ifname)


@contextlib.contextmanager
def _connected(
    provider: Peer, crowd: Sequence[Peer], endpoint: tuple[str, int]
) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    """Introduce the engines and open one connection for each client; return both lists of ends."""
    UapiClient(provider.ifname).set(
        uapi.DeviceUpdate(peers=tuple(_peer(each.keys, each.v4) for each in crowd))
    )
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            provider.namespace.open_socket(socket.AF_INET, socket.SOCK_STREAM)
        )
        listener.bind((BOB, _PORT))
        listener.listen(len(crowd))
        listener.settimeout(10)
        outer, inner = [], []
        for each in crowd:
            UapiClient(each.ifname).set(
                uapi.DeviceUpdate(
                    private_key=PrivateKey.from_base64(each.keys.private),
                    peers=(replace(_peer(provider.keys, BOB), endpoint=Endpoint(*endpoint)),),
                )
            )
            mine = stack.enter_context(
                each.namespace.open_socket(socket.AF_INET, socket.SOCK_STREAM)
            )
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, each.ifname.encode())
            mine.settimeout(10)
            mine.connect((BOB, _PORT))
            theirs, _ = listener.accept()
            stack.enter_context(theirs)
            outer.append(mine)
            inner.append(theirs)
        for each_socket in (*outer, *inner):
            each_socket.setblocking(False)
        yield outer, inner


def _peer(keys: KeyPair, address: str) -> uapi.PeerUpdate:
    networks = (uapi.AllowedIPChange(ip_network(address)),)
    return uapi.PeerUpdate(PublicKey.from_base64(keys.public), allowed_ips=networks)
