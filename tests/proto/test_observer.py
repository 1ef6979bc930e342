# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A device believes only the STUN servers that it asked."""

import pytest

from fs_tunnel.proto.observer import Observer
from fs_wire import stun
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint
from tests.proto.world import World

SERVER, OTHER = Endpoint("198.51.100.1", 3478), Endpoint("198.51.100.2", 3478)
SEEN = Endpoint("203.0.113.7", 40000)
NOW = 1000.0


def asked(observer: Observer, *servers: Endpoint, now: float = NOW) -> list[bytes]:
    sent = observer.ask(servers or [SERVER], now)
    assert [each.endpoint for each in sent] == list(servers or [SERVER])
    return [stun.parse_request_untrusted(each.data) for each in sent]


def observer() -> Observer:
    numbers = iter(range(1, 1000))
    return Observer(lambda length: next(numbers).to_bytes(length, "big"))


def test_who_was_asked_is_believed_once() -> None:
    ours = observer()
    first, second = asked(ours, SERVER, OTHER)
    answer = stun.answer(first, SEEN)
    assert ours.receive_untrusted(answer, SERVER, NOW) == (SERVER, SEEN)
    assert ours.receive_untrusted(answer, SERVER, NOW) is None
    assert ours.receive_untrusted(stun.answer(second, SEEN), OTHER, NOW) == (OTHER, SEEN)


def test_nobody_else_is() -> None:
    ours = observer()
    (transaction,) = asked(ours)
    answer = stun.answer(transaction, SEEN)
    assert ours.receive_untrusted(answer, OTHER, NOW) is None  # from elsewhere
    assert ours.receive_untrusted(answer, Endpoint(SERVER.ip, 1), NOW) is None
    assert ours.receive_untrusted(stun.answer(bytes(12), SEEN), SERVER, NOW) is None
    assert ours.receive_untrusted(answer[:-1], SERVER, NOW) is None
    assert ours.receive_untrusted(answer, SERVER, NOW + 5) is None  # late


def test_servers_are_not_asked_too_often() -> None:
    ours = observer()
    for _ in range(4):
        ours.ask([SERVER, OTHER] * 2, NOW)
    with pytest.raises(UsageError, match="wait"):
        ours.ask([SERVER], NOW)
    assert ours.ask([SERVER], NOW + 1)
    ours.ask([SERVER], NOW + 100)
    assert len(ours._asked) == 1  # what came before is forgotten


def test_a_device_hands_answers_on_and_drops_what_it_did_not_ask_for() -> None:
    world = World()
    device = world.alice.device
    device.observe([SERVER], world.now)
    (request,) = world.alice.take_datagrams(world.now)
    answer = stun.answer(stun.parse_request_untrusted(request.data), SEEN)
    world.alice.receive_datagram(answer, OTHER, world.now)
    assert device.take_observations() == []
    assert device.drops["unasked_answer"] == 1
    world.alice.receive_datagram(answer, SERVER, world.now)
    assert device.take_observations() == [(SERVER, SEEN)]
    assert device.take_observations() == []


def test_a_device_that_is_down_asks_nobody() -> None:
    world = World()
    world.alice.device.shut_down()
    world.alice.device.observe([SERVER], world.now)
    assert world.alice.device.take_datagrams() == []
