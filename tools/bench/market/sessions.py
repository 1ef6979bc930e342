# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How many sessions one provider's agent holds, with a voucher each second from every client."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from coincurve import PrivateKey

from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.wire.channels import Terms, channel_id
from fs_market.core.wire.framing import Unframer, frame
from fs_market.core.wire.messages import (
    Message,
    Order,
    PeerConfig,
    Quote,
    QuoteRequest,
    Statement,
    parse_untrusted,
    serialize,
    session_digest,
)
from fs_market.core.wire.signatures import SigningKey
from fs_wire.types import PublicKey
from tools.bench.figures import Sample, percentile
from tools.bench.market.terms import DOMAIN, PAYEE, PAYER

_M = TypeVar("_M")
_FAR = 2**40  # seconds since the epoch
_OF_ONE_SOURCE = 8  # connections from one address
_OPENING = 32  # sessions that are opened at a time
_PATIENCE = 60.0  # seconds
_IN_TIME = 1.0  # seconds until the next voucher is due


def measure(folder: Path, *, count: int, seconds: float) -> Sample:
    """Run ``count`` clients; raises AssertionError if a session is lost."""
    agent = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.market.agent_under_load", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert agent.stdout is not None
        port = int(agent.stdout.readline())
        yield from asyncio.run(_measure(agent, port, count, seconds)).items()
    finally:
        agent.kill()
        agent.wait()


@dataclass(eq=False)
class _Client:
    """A client without the session machine of ``fs_market.core``, because it must cost little."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: SigningKey = field(default_factory=lambda: SigningKey(PrivateKey().secret))
    unframer: Unframer = field(default_factory=Unframer)
    channel: bytes = b""
    promised: int = 0

    async def open(self) -> None:
        self._send(QuoteRequest(DOMAIN.chain_id, DOMAIN.contract))
        quote = await self._next(Quote)
        offer = quote.terms
        terms = Terms(
            *(PAYER, PAYEE, self.key.address, offer.close_window, _FAR, offer.digest),
            os.urandom(32),
        )
        self.channel, key = channel_id(DOMAIN, terms), PublicKey(os.urandom(32))
        signed = self.key.sign(session_digest(DOMAIN, self.channel, key, 1))
        self._send(Order(quote, terms, key, 1, signed))
        await self._next(PeerConfig)

    async def pay(self) -> float:
        """Send a voucher; return the seconds until it was confirmed."""
        self.promised += 1
        began = time.monotonic()
        self._send(sign_voucher(self.key, DOMAIN, self.channel, self.promised))
        while (await self._next(Statement)).paid < self.promised:
            pass
        return time.monotonic() - began

    def _send(self, message: Message) -> None:
        self.writer.write(frame(serialize(message)))

    async def _next(self, kind: type[_M]) -> _M:
        while True:
            for data in self.unframer.feed_untrusted(await self.reader.read(8192)):
                message = parse_untrusted(data)
                if isinstance(message, kind):
                    return message


async def _measure(
    agent: "subprocess.Popen[str]", port: int, count: int, seconds: float
) -> dict[str, float]:
    async with asyncio.timeout(_PATIENCE + seconds):
        opening = asyncio.Semaphore(_OPENING)
        clients = await asyncio.gather(*(_open(opening, port, n) for n in range(count)))
        before = _processor_time(agent)
        answered = await asyncio.gather(
            *(_pay_each_second(each, n / count, seconds) for n, each in enumerate(clients))
        )
        used = _processor_time(agent) - before
    for client in clients:
        client.writer.transport.abort()
    waited = [each for row in answered for each in row]
    held = sum(all(each < _IN_TIME for each in row) for row in answered)
    return {
        "sessions_held": float(held),
        "voucher_median": percentile(waited, 0.5) * 1000,
        "voucher_p99": percentile(waited, 0.99) * 1000,
        "agent_core": 100 * used / seconds,
    }


async def _open(opening: asyncio.Semaphore, port: int, number: int) -> _Client:
    source = number // _OF_ONE_SOURCE + 1
    async with opening:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(f"127.1.{source >> 8}.{source & 255}", 0)
        )
        client = _Client(reader, writer)
        await client.open()
        return client


async def _pay_each_second(client: _Client, phase: float, seconds: float) -> list[float]:
    begun = time.monotonic() + phase
    waited = []
    for turn in range(int(seconds)):
        await asyncio.sleep(max(0.0, begun + turn - time.monotonic()))
        waited.append(await client.pay())
    return waited


def _processor_time(agent: "subprocess.Popen[str]") -> float:
    assert agent.stdin is not None
    assert agent.stdout is not None
    agent.stdin.write("\n")
    agent.stdin.flush()
    return float(agent.stdout.readline())
