# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A UDP relay behaves like a bad network: it loses, delays, reorders, repeats and rebinds.

It takes the place of netem and of a NAT. The target sees each client at a port of the relay's own,
and ``rebind`` changes these ports. The relay runs as a process in a namespace. It obeys JSON lines
on its stdin, answers each with one line, and ends with its stdin. A seeded generator makes its
choices. So a run can be repeated as far as the arrival of datagrams can.
"""

import contextlib
import functools
import heapq
import itertools
import json
import random
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from tests.netns.peers import stop_process
from tests.netns.topology import Namespace, python_module

Address = tuple[str, int]

UP, DOWN = "up", "down"
# A reordered datagram leaves this much later than its neighbours.
HELD_SECONDS = 0.03


@dataclass
class Impairment:
    """The probability of each fault, from 0 to 1, and a delay in seconds for every datagram."""

    loss: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0


@dataclass(frozen=True)
class RelayStatus:
    """Counts by direction, and the ports that the target sees; ``up`` is towards the target."""

    counts: dict[str, int]
    upstream_ports: list[int]


class Relay:
    """A test's handle on a relay that forwards ``listen`` to ``target`` in ``namespace``."""

    def __init__(
        self, namespace: Namespace, *, listen: Address, target: Address, seed: int = 0
    ) -> None:
        arguments = {"listen": listen, "target": target, "seed": seed}
        self._process = namespace.start(
            *(*python_module("tests.netns.relay"), json.dumps(arguments)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.status()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def impair(
        self,
        *,
        loss: float = 0.0,
        repeat: float = 0.0,
        reorder: float = 0.0,
        delay: float = 0.0,
    ) -> None:
        """Replace the faults of both directions; without arguments, heal the network."""
        wanted = Impairment(loss, repeat, reorder, delay)
        self._ask("impair", **asdict(wanted))

    def drop_next(self, count: int, *, direction: str, message_type: int | None = None) -> None:
        """Drop the next datagrams of a direction, or only those of a WireGuard message type."""
        self._ask("drop_next", count=count, direction=direction, message_type=message_type)

    def rebind(self, address: str | None = None) -> None:
        """Go on from a fresh port, and ``address`` if given, as a NAT that forgot its mapping does.

        Datagrams that arrive at the old port from then on are lost.
        """
        self._ask("rebind", address=address)

    def status(self) -> RelayStatus:
        answer = self._ask("status")
        return RelayStatus(answer["counts"], answer["upstream_ports"])

    def close(self) -> None:
        """End the process before its topology does."""
        stop_process(self._process)

    def _ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or b'{"error": "the relay ended"}')
        assert "error" not in answer, answer["error"]
        assert isinstance(answer, dict)
        return answer


@dataclass(eq=False)
class _Flow:
    """A client's address, and the socket from which the target hears this client."""

    client: Address
    upstream: socket.socket


@dataclass
class _Drop:
    count: int
    direction: str
    message_type: int | None

    def takes(self, direction: str, data: bytes) -> bool:
        fits = self.message_type is None or data[:1] == bytes([self.message_type])
        return self.count > 0 and self.direction == direction and fits


class _Forwarder:
    """The relay's process; one thread waits for sockets, for orders and for due datagrams."""

    def __init__(self, listen: Address, target: Address, seed: int) -> None:
        self._target = target
        self._family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._source = "::" if self._family == socket.AF_INET6 else "0.0.0.0"
        self._choices = random.Random(seed)
        self._impairment = Impairment()
        self._drops: list[_Drop] = []
        self._flows: dict[Address, _Flow] = {}
        self._counts: Counter[str] = Counter()
        self._due: list[tuple[float, int, str, bytes, _Flow]] = []
        self._order = itertools.count()
        self._front = self._bound(listen)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ, self._from_client)
        self._selector.register(sys.stdin.buffer, selectors.EVENT_READ, self._obey)
        self._ended = False

    def run(self) -> None:
        while not self._ended:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(wait):
                key.data()
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, direction, data, flow = heapq.heappop(self._due)
                self._forward(direction, data, flow)

    def _from_client(self) -> None:
        data, client = self._front.recvfrom(65535)
        flow = self._flows.get(client)
        if flow is None:
            flow = self._flows[client] = _Flow(client, self._open_upstream(client))
        self._impair(UP, data, flow)

    def _from_target(self, client: Address) -> None:
        flow = self._flows[client]
        # If the target's port is closed, the connected socket reports an error.
        with contextlib.suppress(ConnectionRefusedError):
            self._impair(DOWN, flow.upstream.recv(65535), flow)

    def _impair(self, direction: str, data: bytes, flow: _Flow) -> None:
        wanted = self._impairment
        scripted = next((drop for drop in self._drops if drop.takes(direction, data)), None)
        if scripted is not None:
            scripted.count -= 1
        if scripted is not None or self._choices.random() < wanted.loss:
            self._counts[f"{direction}_dropped"] += 1
            return
        copies = 1
        if self._choices.random() < wanted.repeat:
            self._counts[f"{direction}_repeated"] += 1
            copies = 2
        for _ in range(copies):
            due = time.monotonic() + wanted.delay
            if self._choices.random() < wanted.reorder:
                self._counts[f"{direction}_reordered"] += 1
                due += HELD_SECONDS
            heapq.heappush(self._due, (due, next(self._order), direction, data, flow))

    def _forward(self, direction: str, data: bytes, flow: _Flow) -> None:
        self._counts[f"{direction}_forwarded"] += 1
        # If a target or client is gone, its datagrams are lost as in any network.
        with contextlib.suppress(OSError):
            if direction == UP:
                flow.upstream.send(data)
            else:
                self._front.sendto(data, flow.client)

    def _obey(self) -> None:
        line = sys.stdin.buffer.readline()
        if not line:
            self._ended = True
            return
        request = json.loads(line)
        verb = request.pop("do")
        if verb == "impair":
            self._impairment = Impairment(**request)
        elif verb == "drop_next":
            self._drops.append(_Drop(**request))
        elif verb == "rebind":
            self._source = request["address"] or self._source
            for flow in self._flows.values():
                self._selector.unregister(flow.upstream)
                flow.upstream.close()
                flow.upstream = self._open_upstream(flow.client)
        ports = [flow.upstream.getsockname()[1] for flow in self._flows.values()]
        print(json.dumps({"counts": self._counts, "upstream_ports": ports}), flush=True)

    def _open_upstream(self, client: Address) -> socket.socket:
        opened = self._bound((self._source, 0))
        opened.connect(self._target)
        self._selector.register(
            opened, selectors.EVENT_READ, functools.partial(self._from_target, client)
        )
        return opened

    def _bound(self, address: Address) -> socket.socket:
        made = socket.socket(self._family, socket.SOCK_DGRAM)
        made.bind(address)
        return made


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    _Forwarder(tuple(settings["listen"]), tuple(settings["target"]), settings["seed"]).run()
