# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One function a parser: takes any bytes, and fails by raising what the parser may not raise."""

import contextlib
import json
from collections.abc import Callable
from ipaddress import ip_address

from fs_market.chain.answers import (
    block_untrusted,
    check_depth_untrusted,
    logs_untrusted,
    receipt_untrusted,
    tips_untrusted,
)
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord, ProviderRecord
from fs_market.core.money.units import Token, parse_bytes, parse_seconds
from fs_market.core.wire.channels import Terms
from fs_market.core.wire.ethereum import ZERO_ADDRESS, Address
from fs_market.core.wire.framing import Unframer, frame
from fs_market.core.wire.messages import parse_untrusted as parse_market_untrusted
from fs_market.core.wire.messages import serialize
from fs_market.core.wire.schema import from_bytes_untrusted, to_bytes
from fs_market.core.wire.signatures import recover_untrusted
from fs_market.errors import AmountError, MalformedAnswer, MarketError, Refused
from fs_market.errors import MalformedMessage as MalformedMarketMessage
from fs_market.settings import parse_untrusted as parse_market_settings
from fs_market.settings import render
from fs_net.bridge import Unpacker
from fs_net.core.batch import take_untrusted
from fs_net.core.index import Index
from fs_net.core.judge import Judge
from fs_net.core.reconcile import MAX_MESSAGE, Snapshot
from fs_net.core.records import ID_LEN, VERSION, Heartbeat, Signed
from fs_net.core.records import ProviderRecord as SignedRecord
from fs_net.core.records import parse_untrusted as parse_provider_untrusted
from fs_net.errors import Refused as NetworkRefused
from fs_tunnel import config
from fs_tunnel.engine.control_server import (
    answer_untrusted,
    describe_limits,
    parse_limits_untrusted,
)
from fs_tunnel.helper import block_list as names
from fs_tunnel.helper import dns_messages
from fs_tunnel.helper.protocol import parse_request_untrusted, render_refusal
from fs_tunnel.linux.journal.kinds import from_json, to_json
from fs_tunnel.proto.errors import MalformedMessage
from fs_tunnel.proto.ip import parse_inner_untrusted
from fs_tunnel.proto.messages import TransportHeader, parse_untrusted
from fs_tunnel.proto.path import Limits
from fs_tunnel.roles.client.places import conf_lines, parse_place_untrusted
from fs_wire import uapi
from fs_wire.codec import MAX_BYTES, encode
from fs_wire.control import Message
from fs_wire.errors import (
    ConfigError,
    ControlError,
    Malformed,
    SystemChangeError,
    UsageError,
)
from fs_wire.schema import to_value
from fs_wire.types import Endpoint, PrivateKey
from tests.market.core.world import served
from tests.net.world import NETWORK, NOW, Chain, Provider
from tests.proto.world import Datagram, World

SELLER = Provider(1000)  # who signed nothing of the corpus

Target = Callable[[bytes], None]


def messages(data: bytes) -> None:
    """A parsed message is the one that was sent."""
    try:
        message = parse_untrusted(data)
    except MalformedMessage:
        return
    if isinstance(message, TransportHeader):
        assert data.startswith(message.to_bytes())
    else:
        assert message.to_bytes() == data


def inner_packet(data: bytes) -> None:
    """Lengths stay within what there is; addresses are addresses."""
    try:
        source, destination, length = parse_inner_untrusted(data)
    except MalformedMessage:
        return
    assert 20 <= length <= len(data)
    assert ip_address(source).version == ip_address(destination).version == data[0] >> 4


def datagrams(data: bytes) -> None:
    """Whatever comes from elsewhere is dropped and counted, and the session goes on.

    The first byte picks a type, so that mutation reaches past the first check.
    """
    world = World()
    world.handshake()
    device, before = world.bob.device, world.bob.peer.counters.rx_packets
    world.alice.peer.initiate_handshake(world.now, is_retry=True)
    world.collect()
    index = world.wire.pop().data[4:8]
    for head in (b"", bytes([1 + data[0] % 4 if data else 0, 0, 0, 0]) + index):
        forged = Datagram(head + data, Endpoint("198.51.100.66", 6666), world.bob.endpoint)
        world.arrive(forged)
    assert sum(device.drops.values()) == 2
    assert world.bob.peer.counters.rx_packets == before
    assert world.bob.received == []
    packet = world.send(world.alice, b"still here")
    world.settle()
    assert world.bob.received == [packet]


def uapi_set(data: bytes) -> None:
    """What was understood, and is written again, is understood as the same."""
    try:
        update = uapi.parse_set_untrusted(data.decode("utf-8", "replace"))
    except uapi.UapiError:
        return
    assert uapi.parse_set_untrusted(uapi.render_set(update)) == update


def uapi_get(data: bytes) -> None:
    """An engine's answer, as a client reads it."""
    try:
        uapi.parse_get(data.decode("utf-8", "replace"))
    except ControlError:
        return


def endpoint(data: bytes) -> None:
    """What was understood, and is written again, is understood as the same."""
    try:
        parsed = Endpoint.parse(data.decode("utf-8", "replace"))
    except UsageError:
        return
    assert Endpoint.parse(str(parsed)) == parsed


def config_file(data: bytes) -> None:
    """What was understood, and is written again, is understood as the same."""
    try:
        parsed = config.parse(data.decode("utf-8", "replace"), name="fuzz", source="fuzz.conf")
    except ConfigError as error:
        if not str(error).startswith("fuzz.conf") or "\n" in str(error):
            raise AssertionError("the error is not one line that names the file") from error
        return
    again = config.parse(config.render(parsed), name="fuzz", source="fuzz.conf")
    assert again == parsed


def control_request(data: bytes) -> None:
    """A request to the control socket is answered, whatever it is."""

    def limit(request: Message) -> Message:
        limits = parse_limits_untrusted(request, Limits())
        again = parse_limits_untrusted(describe_limits(limits), Limits())
        assert again == limits
        return {}

    reply = answer_untrusted(data, {"limit": limit})
    assert reply["ok"] is True or reply["error"]


def journal_line(data: bytes) -> None:
    """What a journal holds is a change, or is passed over."""
    try:
        change = from_json(data.decode("utf-8", "replace"))
    except SystemChangeError:
        return
    assert from_json(to_json(change)) == change


def helper_request(data: bytes) -> None:
    """A request to a helper is understood, or refused on one line."""
    try:
        parse_request_untrusted(data, tunnel="wg0", is_root=True)
    except UsageError as error:
        if render_refusal(error).count(b"\n") != 1:
            raise AssertionError("the refusal is not one line") from error


def place(data: bytes) -> None:
    """What an agent tells of a place becomes lines of a file that mean no more, or is refused."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        found = parse_place_untrusted(told)
    except MarketError:
        return
    for line in conf_lines(PrivateKey(bytes(range(32))), found):
        assert line.isascii()
        assert line.isprintable()


def dns_query(data: bytes) -> None:
    """A question is read as it stands, and what answers it without asking is no longer than it."""
    try:
        query = dns_messages.parse_query_untrusted(data)
    except MalformedMessage:
        return
    refusal = dns_messages.reply(query, dns_messages.NO_SUCH_NAME)
    assert len(refusal) <= len(data)
    assert dns_messages.answer_untrusted(query, 7, b"\0\7" + refusal[2:]) == refusal


def block_list(data: bytes) -> None:
    """Names are plain, or the line is refused."""
    try:
        found = names.parse(data.decode("utf-8", "replace"), source="names")
    except ConfigError as error:
        if not str(error).startswith("names:"):
            raise AssertionError("the error does not name the line") from error
        return
    assert names.parse("\n".join(found), source="names") == found


def market_message(data: bytes) -> None:
    """A parsed message is the one that was sent, and its only spelling."""
    try:
        message = parse_market_untrusted(data)
    except MalformedMarketMessage:
        return
    assert serialize(message) == data


def market_record(data: bytes) -> None:
    """What a journal holds of a session is a record, or refused."""
    for record in (ClientRecord, ProviderRecord, Terms):
        try:
            kept = from_bytes_untrusted(record, data)
        except MalformedMarketMessage:
            continue
        assert to_bytes(kept) == data


def market_frames(data: bytes) -> None:
    """A stream is the same messages, in whatever pieces it comes."""
    whole, pieces = Unframer(), Unframer()
    try:
        messages = whole.feed_untrusted(data)
    except MalformedMarketMessage:
        return
    assert messages == [m for byte in data for m in pieces.feed_untrusted(bytes([byte]))]
    assert data.startswith(b"".join(map(frame, messages)))
    assert all(len(each) <= MAX_BYTES for each in messages)


def market_session(data: bytes) -> None:
    """Neither side of a paid session raises, whatever it is told; nobody pays for it.

    The first byte picks a type, so that mutation reaches past the first checks.
    """
    market = served()
    before = market.client.promised, market.provider.paid
    heads = [b"", bytes([0x80 + len(data) % 16, 1, 1 + data[0] % 10 if data else 1])]
    for head in heads:
        for side in market.sides:
            side.session.receive(head + data, market.now)
            market.run(side)
    assert (market.client.promised, market.provider.paid) == before


def signature(data: bytes) -> None:
    """Any bytes are somebody's signature, or refused."""
    try:
        address = recover_untrusted(bytes(32), data)
    except Refused:
        return
    assert Address.parse(str(address)) == address


def amounts(data: bytes) -> None:
    """What was understood, and is written again, is understood as the same."""
    text, token = data.decode("utf-8", "replace"), Token("USDC", 6, ZERO_ADDRESS)
    readers: tuple[tuple[Callable[[str], object], Callable[[object], str] | None], ...] = (
        (token.parse, str),
        (Address.parse, str),
        (lambda price: Price.parse(price, token), None),
        (parse_bytes, None),
        (parse_seconds, None),
    )
    for read, write in readers:
        try:
            value = read(text)
        except AmountError as error:
            if "\n" in str(error):
                raise AssertionError("the error is not one line") from error
            continue
        assert write is None or read(write(value)) == value


def node_answer(data: bytes) -> None:
    """Any answer of a chain node is parsed or refused, whatever was asked."""
    try:
        check_depth_untrusted(data)
        answer = json.loads(data)
    except (MalformedAnswer, ValueError):
        return
    for parse in (block_untrusted, logs_untrusted, receipt_untrusted, tips_untrusted):
        with contextlib.suppress(MalformedAnswer):
            parse(answer)


def market_settings(data: bytes) -> None:
    """What was read is written as what is read as the same."""
    try:
        settings = parse_market_settings(data, "market.toml")
    except ConfigError as error:
        if "\n" in str(error):
            raise AssertionError("the error is not one line") from error
        return
    assert parse_market_settings(render(settings).encode(), "market.toml") == settings


def provider_record(data: bytes) -> None:
    """What a provider signed has one spelling."""
    said: list[Signed[SignedRecord] | Signed[Heartbeat]] = []
    with contextlib.suppress(NetworkRefused):
        said.append(parse_provider_untrusted(SignedRecord, data))
    with contextlib.suppress(NetworkRefused):
        said.append(parse_provider_untrusted(Heartbeat, data))
    for each in said:
        assert data[64:] == encode([VERSION, *to_value(each.content)])


def gossip_batch(data: bytes) -> None:
    """A batch gets verdicts, and what nobody with a stake signed changes nothing."""
    judge = Judge(Index(), Chain({SELLER.address: SELLER.listing()}), NETWORK)
    take_untrusted(judge, b"peer", data, NOW)
    assert not len(judge.index.records)


def reconciliation(data: bytes) -> None:
    """An answer is as long as an answer may be, and is itself understood."""
    held = Snapshot(number.to_bytes(ID_LEN, "big") for number in range(0, 2000, 7))
    try:
        step = held.answer_untrusted(data)
    except NetworkRefused:
        return
    if step.answer is not None:
        assert len(step.answer) <= MAX_MESSAGE
        assert not held.answer_untrusted(step.answer).they_lack


def network_frames(data: bytes) -> None:
    """What comes from the network process is frames, in whatever pieces, or refused."""
    whole, pieces = Unpacker(), Unpacker()
    try:
        frames = whole.feed_untrusted(data)
    except Malformed:
        return
    # Compared as text, for a NaN is not itself.
    pieced = [frame for byte in data for frame in pieces.feed_untrusted(bytes([byte]))]
    assert str(frames) == str(pieced)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        *(messages, inner_packet, datagrams, uapi_set, uapi_get, endpoint),
        *(config_file, control_request, journal_line),
        *(helper_request, dns_query, block_list, place),
        *(market_message, market_record, market_frames, market_session, signature, amounts),
        *(node_answer, market_settings),
        *(provider_record, gossip_batch, reconciliation, network_frames),
    )
}
