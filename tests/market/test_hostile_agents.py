"""What strangers and cheats send to a provider's agent over TCP."""

import asyncio
import contextlib
from pathlib import Path

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market import session_book
from fs_market.core.framing import frame
from fs_market.core.messages import Refusal, parse_untrusted, serialize, sign_close
from fs_market.core.signatures import SigningKey
from fs_market.errors import Reason
from fs_market.provider_agent import MAX_OF_ONE_SOURCE
from fs_market.stream import connect
from tests.market.dealing import (
    DOMAIN,
    bought,
    provider,
    until,
)


def test_a_stranger_closes_no_session_of_others(tmp_path: Path) -> None:
    async def play() -> None:
        async with provider(tmp_path) as seller, bought(tmp_path, seller) as buyer:
            entry = await buyer.books.do(session_book.latest)
            assert entry is not None
            stream = await connect(seller.route)
            stranger = SigningKey(PrivateKey().secret)
            close = sign_close(stranger, DOMAIN, entry.channel, Reason.DONE, 0, final=False)
            stream.send([serialize(close)])
            (said, *_) = map(parse_untrusted, await stream.receive(5))
            assert said == Refusal(Reason.BAD_SIGNATURE)
            assert seller.agent.is_over(entry.channel) is False
            ((_, core),) = seller.agent.books()
            assert core.state.value == "serving"
            await stream.close()

    uvloop.run(play())


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
    monkeypatch.setattr("fs_market.stream._WHOLE_WITHIN", 0.3)

    async def play() -> None:
        async with provider(tmp_path) as seller:
            reader, writer = await asyncio.open_connection("127.0.0.1", seller.port)
            with pytest.raises((ConnectionError, RuntimeError)):  # uvloop's word for closed
                async with asyncio.timeout(10):
                    while True:  # each byte is soon after the one before
                        writer.write(b"\x01")
                        await writer.drain()
                        await asyncio.sleep(0.1)
            assert reader.at_eof() or reader.exception()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    uvloop.run(play())
