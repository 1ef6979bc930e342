# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node's STUN server on loopback."""

import asyncio
import socket
from contextlib import closing

import pytest
import uvloop

from fs_net.fullnode import stun as server_module
from fs_net.fullnode.stun import StunServer, answering
from fs_wire import stun
from fs_wire.types import Endpoint
from tools.testing import patience

TRANSACTION = bytes(range(12))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_says_where_a_request_came_from(address: str) -> None:
    async def play() -> None:
        with (
            closing(await StunServer.start(address, 0)) as server,
            _client(address, server.port) as client,
        ):
            client.send(stun.request(TRANSACTION))
            said = await _received(client)
            assert said is not None
            here = Endpoint(address, client.getsockname()[1])
            assert stun.parse_answer_untrusted(said) == (TRANSACTION, here)

    uvloop.run(play())


def test_what_would_amplify_or_means_nothing_has_no_answer() -> None:
    async def play() -> None:
        small = b"\x00\x01\x00\x00" + stun.request(TRANSACTION)[4:20]
        with (
            closing(await StunServer.start("127.0.0.1", 0)) as server,
            _client("127.0.0.1", server.port) as client,
        ):
            for data in (b"", b"\x01" * 44, small, stun.answer(TRANSACTION, Endpoint("::1", 1))):
                client.send(data)
            client.send(stun.request(TRANSACTION))  # this valid request comes after them
            assert await _received(client) is not None
            assert server.counts == {"malformed": 4, "answered": 1}

    uvloop.run(play())


def test_a_full_node_serves_where_it_listens_and_says_where_it_cannot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        listen = ["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4001", "/ip4/127.0.0.1/udp/4001/quic-v1"]
        with closing(await StunServer.start("127.0.0.1", 0)) as taken:
            async with answering(listen, taken.port):
                with _client("::1", taken.port) as client:
                    client.send(stun.request(TRANSACTION))
                    assert await _received(client) is not None

    uvloop.run(play())
    (said,) = caplog.messages
    assert said.startswith("no STUN on 127.0.0.1 port ")
    assert said.endswith("must ask other full nodes")


def test_one_source_has_few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_RATE", 1e-9)
    monkeypatch.setattr(server_module, "_BURST", 3.0)

    async def play() -> None:
        with (
            closing(await StunServer.start("127.0.0.1", 0)) as server,
            _client("127.0.0.1", server.port) as client,
        ):
            for _ in range(8):
                client.send(stun.request(TRANSACTION))
            async with asyncio.timeout(patience.seconds(10)):
                while server.counts.total() < 8:  # noqa: ASYNC110 - a socket gives no event
                    await asyncio.sleep(0.01)
            assert server.counts == {"answered": 3, "rate limited": 5}

    uvloop.run(play())


def _client(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((address, port))
    made.setblocking(False)
    return made


async def _received(client: socket.socket) -> bytes | None:
    async with asyncio.timeout(patience.seconds(10)):
        return await asyncio.get_running_loop().sock_recv(client, 2048)
