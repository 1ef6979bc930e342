# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How many handshakes a second a provider on one core answers.

A Noise library that shares no code with the engine makes all initiations beforehand. While the
clock runs, they are only sent, and answers are counted. The answers are verified later.
"""

import contextlib
import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Protocol

from nacl.bindings import crypto_scalarmult_base

from fs_wire import uapi
from fs_wire.types import PrivateKey, PublicKey
from fs_wire.uapi_client import UapiClient
from tests.interop.eve import RESPONSE, Identity, Initiation
from tests.netns.peers import KeyPair, running
from tests.netns.topology import pair
from tools.bench.figures import Sample
from tools.bench.peers import WireGuard

WINDOW = 64  # initiations at a time: they keep the provider busy, but do not look like a flood
_VERIFIED = 20
_PATIENCE = 1.0  # seconds until an unanswered initiation counts as lost
_LOSS = 0.01


class Wire(Protocol):
    """A connected socket with a timeout."""

    def send(self, data: bytes, /) -> int: ...
    def recv(self, bufsize: int, /) -> bytes: ...


@dataclass(frozen=True)
class Crowd:
    """Clients with one initiation each, and the provider that these are for."""

    provider: KeyPair
    initiations: Sequence[Initiation]
    peers: tuple[uapi.PeerUpdate, ...]
    verified: set[int] = field(
        default_factory=set
    )  # clients whose answer was opened, which works only once


@cache
def gather(count: int) -> Crowd:
    """Make the clients once: the same initiations work for every new engine."""
    private = os.urandom(32)
    public = crypto_scalarmult_base(private)
    identities = [Identity(public) for _ in range(count)]
    keys = KeyPair(PrivateKey(private).to_base64(), PublicKey(public).to_base64())
    peers = [
        uapi.PeerUpdate(
            PublicKey.from_base64(each.public),
            allowed_ips=(uapi.AllowedIPChange(ip_network(f"10.67.{n >> 8}.{n & 255}/32")),),
        )
        for n, each in enumerate(identities)
    ]
    return Crowd(keys, [each.initiation() for each in identities], tuple(peers))


def measure(vpn: WireGuard, _: Path, *, count: int) -> Sample:
    """Measure; raises AssertionError if an answer is wrong, or more than 1 % are missing."""
    crowd = gather(count)
    with (
        pair() as net,
        running(vpn.engine, net.bob, ("10.66.0.2/24",), keys=crowd.provider) as provider,
        net.alice.udp_socket(net.alice_v4, seconds=_PATIENCE) as sock,
    ):
        UapiClient(provider.ifname).set(uapi.DeviceUpdate(peers=crowd.peers))
        if provider.process is None:
            raise AssertionError("an engine in the foreground is our process")
        sock.connect((net.bob_v4, 51820))
        with _on_cores_of_their_own(provider.process.pid):
            answers, seconds = ask(sock, crowd.initiations)
        _verify(crowd, answers)
        missing = len(crowd.initiations) - len(answers)
        if missing > _LOSS * len(crowd.initiations):
            raise AssertionError(f"{vpn.name} left {missing} initiations without an answer")
        yield "handshakes", len(answers) / seconds


def _verify(crowd: Crowd, answers: Sequence[tuple[Initiation, bytes]]) -> None:
    """Raise InvalidTag if an answer is not the provider's."""
    fresh = [each for each in answers if each[0].index not in crowd.verified]
    for initiation, answer in fresh[:_VERIFIED]:
        initiation.finish(answer)
        crowd.verified.add(initiation.index)


def ask(
    sock: Wire, initiations: Sequence[Initiation]
) -> tuple[list[tuple[Initiation, bytes]], float]:
    """Send all with WINDOW at a time; return the answers, and the seconds until the last."""
    to_send = iter(initiations)
    waiting: dict[int, Initiation] = {}
    answers: list[tuple[Initiation, bytes]] = []
    began = ended = time.monotonic()

    def send_next() -> None:
        following = next(to_send, None)
        if following is not None:
            waiting[following.index] = following
            sock.send(following.message)

    for _ in range(WINDOW):
        send_next()
    while waiting:
        try:
            data = sock.recv(2048)
        except TimeoutError:
            lost, waiting = len(waiting), {}
            for _ in range(lost):
                send_next()
            continue
        if data[0] != RESPONSE:
            raise AssertionError(f"a message of type {data[0]} came back instead of an answer")
        (index,) = struct.unpack_from("<I", data, 8)
        initiation = waiting.pop(index, None)
        if initiation is None:
            continue  # it counts as lost already
        answers.append((initiation, data))
        ended = time.monotonic()
        send_next()
    return answers, ended - began


@contextlib.contextmanager
def _on_cores_of_their_own(engine: int) -> Iterator[None]:
    """Give the first core to the engine alone, and the other cores to us."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{engine}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
