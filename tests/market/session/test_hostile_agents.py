# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Messages that strangers and cheats send to a provider's agent over TCP."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.money.records import ClientRecord
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.session.client_states import State
from fs_market.core.session.provider import ProviderSession
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.framing import frame
from fs_market.core.wire.messages import (
    Close,
    Message,
    Order,
    PeerConfig,
    QuoteRequest,
    ReceiptAcceptance,
    Refusal,
    Statement,
    parse_untrusted,
    serialize,
    session_digest,
    sign_close,
)
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey, recover_untrusted
from fs_market.errors import Reason
from fs_market.session import session_book
from fs_market.session.provider_agent import MAX_OF_ONE_SOURCE, REFUSALS_AT_ONCE
from fs_market.session.stream import Stream, Tcp, connect
from fs_wire.codec import encode
from tests.market.dealing import (
    DEPOSIT,
    DOMAIN,
    MIB,
    NODE,
    PROVIDER_KEY,
    Provider,
    Served,
    provider,
    served_client,
    until,
)
from tools.testing import patience

STRANGER = SigningKey(PrivateKey().secret)


@pytest.mark.parametrize("hostile", [b"\xff\xff", b"\x00\x00", frame(b"\xff" * 100)])
def test_what_is_no_message_is_refused_and_counted(tmp_path: Path, hostile: bytes) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller:
            _, writer = await asyncio.open_connection("127.0.0.1", seller.port)
            writer.write(hostile)
            await until(lambda: seller.agent.refused[Reason.MALFORMED])
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    uvloop.run(play())


def test_one_source_has_few_connections(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller:
            held = [await connect(seller.route) for _ in range(MAX_OF_ONE_SOURCE)]
            await until(lambda: len(seller.agent._connections) == MAX_OF_ONE_SOURCE)
            one_more = await connect(seller.route)
            with pytest.raises(ConnectionResetError):
                await one_more.receive(5)
            for each in [*held, one_more]:
                await each.close()

    uvloop.run(play())


def test_who_trickles_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs_market.session.stream._WHOLE_WITHIN", 0.3)

    async def play() -> None:
        async with provider(tmp_path) as seller:
            reader, writer = await asyncio.open_connection("127.0.0.1", seller.port)
            with pytest.raises(
                (ConnectionError, RuntimeError)
            ):  # uvloop raises this if it is closed
                async with asyncio.timeout(patience.seconds(10)):
                    while True:  # the bytes follow each other quickly
                        writer.write(b"\x01")
                        await writer.drain()
                        await asyncio.sleep(0.1)
            assert reader.at_eof() or reader.exception()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    uvloop.run(play())


# Eve knows a client's channel from the chain, and heard its messages outside the tunnel.


@dataclass
class Scene:
    """A client that is served, and Eve beside it."""

    seller: Provider
    client: Served
    eve: Stream
    channel: bytes
    key: SigningKey  # of the client's session

    async def refused(self, message: Message | bytes) -> Reason:
        """Return the refusal that Eve gets; she must get nothing else."""
        data = message if isinstance(message, bytes) else serialize(message)
        self.eve.send([data])
        (said,) = map(parse_untrusted, await self.eve.receive(5))
        assert isinstance(said, Refusal)
        return said.reason

    @property
    def core(self) -> ProviderSession:
        ((_, core),) = self.seller.agent.books()
        return core

    def core_stream(self) -> object:
        """Return the stream to which the session's answers go."""
        return self.seller.agent._sessions.by_channel[self.channel].stream

    async def last_order(self) -> Order:
        """Return the last order in its wire format, which is in the clear."""
        entry, *_ = await self.client.books.do(session_book.latest_first)
        record = from_bytes_untrusted(ClientRecord, entry.record)
        key, number = record.wireguard_key, record.orders
        digest = session_digest(DOMAIN, self.channel, key, number)
        return Order(record.quote, record.terms, key, number, self.key.sign(digest))


async def from_elsewhere(port: int) -> Stream:
    """Connect from another source."""
    there = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    return Stream(Tcp(*there))


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    key = SigningKey(PrivateKey().secret)
    async with provider(folder) as seller, served_client(folder, seller, key) as client:
        await client.download(2 * MIB)
        eve = await from_elsewhere(seller.port)
        ((channel, core),) = seller.agent.books()
        await until(lambda: core.paid == 2 * MIB)  # no voucher is in flight
        try:
            yield Scene(seller, client, eve, channel, key)
        finally:
            await eve.close()


def test_each_kind_of_hostile_message_has_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[bytes] = []

    async def play() -> None:
        async with scene(tmp_path) as at:
            paid, channel = at.core.paid, at.channel
            more = sign_voucher(at.key, DOMAIN, channel, paid + 1)
            elsewhere = channels_domain(1, DOMAIN.contract)
            order = await at.last_order()
            hostile: list[tuple[Message | bytes, Reason]] = [
                (b"\xff" * 100, Reason.MALFORMED),
                (encode([1, 5]), Reason.MALFORMED),
                (encode([2, 5]), Reason.VERSION),
                (sign_voucher(STRANGER, DOMAIN, channel, paid + 1), Reason.BAD_SIGNATURE),
                (sign_voucher(at.key, elsewhere, channel, paid + 1), Reason.BAD_SIGNATURE),
                (replace(more, signature=high_s(more.signature)), Reason.BAD_SIGNATURE),
                (replace(more, cumulative=paid + 2), Reason.BAD_SIGNATURE),
                (sign_voucher(at.key, DOMAIN, channel, DEPOSIT + 1), Reason.OVER_DEPOSIT),
                (sign_voucher(at.key, DOMAIN, channel, paid - 1), Reason.NOTHING_NEW),
                (sign_voucher(at.key, DOMAIN, bytes(32), paid + 1), Reason.UNEXPECTED),
                (order, Reason.REPLAYED),
                (replace(order, number=order.number + 1), Reason.BAD_SIGNATURE),
                (replace(order, wireguard_key=PROVIDER_KEY), Reason.FOREIGN_KEY),
                (ReceiptAcceptance(channel, 9, more.signature), Reason.BAD_RECEIPT),
                (close(STRANGER, channel, paid), Reason.BAD_SIGNATURE),
                (close(NODE, channel, paid), Reason.BAD_SIGNATURE),
                (close(at.key, channel, paid - 1), Reason.REPLAYED),
                (QuoteRequest(1, DOMAIN.contract), Reason.CHAIN),
            ]
            for message, reason in hostile:
                before = at.seller.agent.refused[reason]
                assert await at.refused(message) is reason, message
                assert at.seller.agent.refused[reason] == before + 1
            assert at.core.paid == paid
            await at.client.download(2 * MIB)
            ended = await at.client.end()
            assert (ended.reason, ended.paid) == (Reason.DONE, 4 * MIB)
            shown.extend([at.key._key.secret, NODE._key.secret, more.signature, channel])

    uvloop.run(play())
    for secret in shown:
        assert secret.hex() not in caplog.text
        assert repr(secret) not in caplog.text


def test_a_session_goes_where_its_next_order_comes_from(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as at:
            order = await at.last_order()
            number = order.number + 1
            digest = session_digest(DOMAIN, at.channel, order.wireguard_key, number)
            at.eve.send([serialize(replace(order, number=number, signature=at.key.sign(digest)))])
            heard: list[type[Message]] = []
            while Statement not in heard:
                heard += [type(parse_untrusted(each)) for each in await at.eve.receive(5)]
            assert PeerConfig in heard
            foreign = sign_voucher(at.key, DOMAIN, bytes(32), 1)
            assert await at.refused(foreign) is Reason.FOREIGN_CHANNEL

    uvloop.run(play())


def test_who_replays_an_order_gets_no_answer_of_the_session(tmp_path: Path) -> None:
    """She asks as often as she may. The client goes on paying, and gets all of its answers."""

    async def play() -> None:
        async with scene(tmp_path) as at:
            await until(lambda: at.core.paid == at.client.agent.session.promised)
            order, stream = await at.last_order(), at.core_stream()
            for _ in range(50):
                assert await at.refused(order) is Reason.REPLAYED
            voucher = sign_voucher(at.key, DOMAIN, at.channel, at.core.paid)
            at.eve.send([serialize(voucher)])  # a replayed voucher gets no answer either
            assert await at.refused(order) is Reason.REPLAYED
            assert at.core_stream() is stream
            served = at.client.agent.session
            await at.client.download(2 * MIB)
            assert served.state is State.SERVED
            await until(lambda: at.core.paid > 2 * MIB)
            assert not served.refused

    uvloop.run(play())


def test_signatures_are_checked_at_a_rate_and_others_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0

    def counting(*args: Any) -> Any:
        nonlocal checked
        checked += 1
        return recover_untrusted(*args)

    async def play() -> None:
        async with scene(tmp_path) as at:
            monkeypatch.setattr("fs_market.core.money.vouchers.recover_untrusted", counting)
            paid = at.core.paid
            reasons: Counter[Reason] = Counter()
            with contextlib.suppress(ConnectionError):
                for more in range(1, 1000):
                    voucher = sign_voucher(STRANGER, DOMAIN, at.channel, paid + more)
                    reasons[await at.refused(voucher)] += 1
            # Of her bucket, and what it has gained meanwhile; then she is hung up on.
            assert reasons[Reason.RATE_LIMITED] > 0
            assert checked == reasons[Reason.BAD_SIGNATURE] < 200
            assert reasons.total() < 300
            await at.client.download(2 * MIB)
            ended = await at.client.end()
            assert (ended.reason, ended.paid) == (Reason.DONE, 4 * MIB)

    uvloop.run(play())


@pytest.mark.parametrize("message", [b"\xff", b"\xff" * 4000])
def test_who_sends_rubbish_without_end_is_hung_up_on(tmp_path: Path, message: bytes) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller:
            eve = await from_elsewhere(seller.port)
            eve.send([message] * 15)
            heard = 0
            with pytest.raises(ConnectionError):
                while True:
                    heard += len(await eve.receive(5))
                    eve.send([message] * 15)
            assert heard <= 2 * REFUSALS_AT_ONCE
            await eve.close()

    uvloop.run(play())


def high_s(signature: bytes) -> bytes:
    """Return the other signature for the digest, which libraries accept and contracts do not."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def close(key: SigningKey, channel: bytes, paid: int) -> Close:
    return sign_close(key, DOMAIN, channel, Reason.DONE, paid, final=False)
