# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The table of transitions, row by row."""

import pytest

from fs_tunnel.proto.timers import (
    DURATIONS,
    IDLE,
    JITTERED,
    TRANSITIONS,
    Action,
    Event,
    PeerTimers,
    Timer,
)

NOW = 1000.0


@pytest.fixture
def timers() -> PeerTimers:
    made = PeerTimers(lambda count: b"\xff" * count)
    made.persistent_keepalive = 25
    return made


def test_the_table_is_that_of_the_linux_driver() -> None:
    """Written out, and LOOK beside it: the tests below follow the table, whatever it says."""
    assert {event.name: row for event, row in TRANSITIONS.items()} == {
        "DATA_SENT": ((Timer.NEW_HANDSHAKE, Action.START_IF_IDLE),),
        "DATA_RECEIVED": ((Timer.SEND_KEEPALIVE, Action.START_OR_REPEAT),),
        "AUTHENTICATED_PACKET_SENT": ((Timer.SEND_KEEPALIVE, Action.STOP),),
        "AUTHENTICATED_PACKET_RECEIVED": ((Timer.NEW_HANDSHAKE, Action.STOP),),
        "AUTHENTICATED_PACKET_TRAVERSED": (
            (Timer.PERSISTENT_KEEPALIVE, Action.START),
            (Timer.LOOK, Action.START),
        ),
        "HANDSHAKE_INITIATED": ((Timer.RETRANSMIT_HANDSHAKE, Action.START),),
        "HANDSHAKE_COMPLETE": ((Timer.RETRANSMIT_HANDSHAKE, Action.STOP),),
        "SESSION_DERIVED": ((Timer.ERASE_KEYS, Action.START),),
    }
    assert set(TRANSITIONS) == set(Event)


@pytest.mark.parametrize(
    ("event", "timer", "action"),
    [(event, timer, action) for event, row in TRANSITIONS.items() for timer, action in row],
)
def test_the_row(timers: PeerTimers, event: Event, timer: Timer, action: Action) -> None:
    timers.fire(event, NOW)
    assert timers.is_running(timer) is (action is not Action.STOP)
    first = timers.next_deadline()
    timers.fire(event, NOW + 1)
    moved = timers.next_deadline() != first
    assert moved is (action is Action.START)
    timers.start(timer, NOW)
    if action is Action.STOP:
        timers.fire(event, NOW)
        assert timers.next_deadline() == IDLE


@pytest.mark.parametrize("timer", Timer)
def test_durations(timers: PeerTimers, timer: Timer) -> None:
    timers.start(timer, NOW)
    wanted = DURATIONS.get(timer, 25) + (0xFFFFFFFF % 334 / 1000 if timer in JITTERED else 0)
    assert timers.next_deadline() == NOW + wanted
    assert timers.take_due(NOW + wanted - 0.001) == []
    assert timers.take_due(NOW + wanted) == [timer]
    assert timers.next_deadline() == IDLE


def test_a_persistent_keepalive_of_0_stays_idle(timers: PeerTimers) -> None:
    timers.persistent_keepalive = 0
    timers.fire(Event.AUTHENTICATED_PACKET_TRAVERSED, NOW)
    assert not timers.is_running(Timer.PERSISTENT_KEEPALIVE)


def test_what_is_due_comes_earliest_first(timers: PeerTimers) -> None:
    # In neither the order of their numbers nor the one in which they were started.
    timers.start(Timer.PERSISTENT_KEEPALIVE, NOW)  # due after 25 s
    timers.start(Timer.ERASE_KEYS, NOW)
    timers.start(Timer.RETRANSMIT_HANDSHAKE, NOW + 100)
    timers.start(Timer.SEND_KEEPALIVE, NOW)
    due = timers.take_due(NOW + 1000)
    assert due == [
        *(Timer.SEND_KEEPALIVE, Timer.PERSISTENT_KEEPALIVE),
        *(Timer.RETRANSMIT_HANDSHAKE, Timer.ERASE_KEYS),
    ]


def test_stopping_all_forgets_the_repeat_too(timers: PeerTimers) -> None:
    for timer in Timer:
        timers.start(timer, NOW)
    timers.fire(Event.DATA_RECEIVED, NOW)
    timers.stop_all()
    assert timers.next_deadline() == IDLE
    assert not timers.take_repeat()


def test_data_while_a_keepalive_waits_asks_for_one_more(timers: PeerTimers) -> None:
    timers.fire(Event.DATA_RECEIVED, NOW)
    assert not timers.take_repeat()
    for _ in range(3):
        timers.fire(Event.DATA_RECEIVED, NOW + 1)
    assert timers.take_repeat()
    assert not timers.take_repeat()


def test_the_owner_is_woken_only_for_what_is_earlier() -> None:
    woken: list[float] = []
    timers = PeerTimers(bytes, woken.append)
    timers.start(Timer.SEND_KEEPALIVE, NOW)
    timers.start(Timer.ERASE_KEYS, NOW)
    timers.start(Timer.SEND_KEEPALIVE, NOW + 1)
    timers.start(Timer.RETRANSMIT_HANDSHAKE, NOW)
    assert woken == [NOW + 10, NOW + 5]
