# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A peer's timers as data: which event starts or stops which deadline.

Theory of operation.  WireGuard acts on packets, and on five deadlines of each peer.  An ``Event``
starts, extends or stops deadlines, and nothing else does.  The table ``TRANSITIONS`` is the whole
policy; the diagram in docs/timers.md is made from it.  The owner of a ``PeerTimers`` asks for the
timers that are due, and acts on them.  No clock is read here.  A sixth deadline, LOOK, is ours: it
serves ``traffic``, which learns of packets later than they pass.

Source: WireGuard paper, section 6; timers.c of the Linux driver.  Times are seconds of the device's
clock.
"""

from collections.abc import Callable
from enum import Enum, IntEnum

from fs_tunnel.proto.constants import (
    ERASE_KEYS_AFTER,
    JITTER_MILLISECONDS,
    KEEPALIVE_TIMEOUT,
    NEW_HANDSHAKE_AFTER,
    REKEY_TIMEOUT,
)

IDLE = float("inf")


class Timer(IntEnum):
    """A deadline, named by what its owner does when it has passed."""

    RETRANSMIT_HANDSHAKE = 0  # an initiation was not answered
    SEND_KEEPALIVE = 1  # data came, and nothing went back
    NEW_HANDSHAKE = 2  # data went out, and nothing came back
    ERASE_KEYS = 3  # there was no new session for three lifetimes of a key
    PERSISTENT_KEEPALIVE = 4  # the user wants a packet every so many seconds
    LOOK = 5  # packets pass unnoticed: see what they did to the other five timers


class Event(IntEnum):
    """What happened to a peer; the names are those of the Linux driver's timers.c."""

    DATA_SENT = 0
    DATA_RECEIVED = 1
    AUTHENTICATED_PACKET_SENT = 2
    AUTHENTICATED_PACKET_RECEIVED = 3
    AUTHENTICATED_PACKET_TRAVERSED = 4
    HANDSHAKE_INITIATED = 5
    HANDSHAKE_COMPLETE = 6
    SESSION_DERIVED = 7


class Action(Enum):
    """What an event does to a timer."""

    START = "start"  # from now, even if it runs
    START_IF_IDLE = "start if idle"
    START_OR_REPEAT = "start, or repeat once"  # if it runs, remember to start it once more
    STOP = "stop"


TRANSITIONS: dict[Event, tuple[tuple[Timer, Action], ...]] = {
    Event.DATA_SENT: ((Timer.NEW_HANDSHAKE, Action.START_IF_IDLE),),
    Event.DATA_RECEIVED: ((Timer.SEND_KEEPALIVE, Action.START_OR_REPEAT),),
    Event.AUTHENTICATED_PACKET_SENT: ((Timer.SEND_KEEPALIVE, Action.STOP),),
    Event.AUTHENTICATED_PACKET_RECEIVED: ((Timer.NEW_HANDSHAKE, Action.STOP),),
    Event.AUTHENTICATED_PACKET_TRAVERSED: (
        (Timer.PERSISTENT_KEEPALIVE, Action.START),
        (Timer.LOOK, Action.START),
    ),
    Event.HANDSHAKE_INITIATED: ((Timer.RETRANSMIT_HANDSHAKE, Action.START),),
    Event.HANDSHAKE_COMPLETE: ((Timer.RETRANSMIT_HANDSHAKE, Action.STOP),),
    Event.SESSION_DERIVED: ((Timer.ERASE_KEYS, Action.START),),
}

# In seconds.  The user chooses that of PERSISTENT_KEEPALIVE.
DURATIONS: dict[Timer, float] = {
    Timer.RETRANSMIT_HANDSHAKE: REKEY_TIMEOUT,
    Timer.SEND_KEEPALIVE: KEEPALIVE_TIMEOUT,
    Timer.NEW_HANDSHAKE: NEW_HANDSHAKE_AFTER,
    Timer.ERASE_KEYS: ERASE_KEYS_AFTER,
    Timer.LOOK: KEEPALIVE_TIMEOUT,  # the shortest of the timers that packets start
}
JITTERED = frozenset({Timer.RETRANSMIT_HANDSHAKE, Timer.NEW_HANDSHAKE})


class PeerTimers:
    """The deadlines of one peer."""

    __slots__ = (
        "persistent_keepalive",
        "wake_at",
        "_deadlines",
        "_repeat_keepalive",
        "_entropy",
        "_wake",
    )

    def __init__(
        self, entropy: Callable[[int], bytes], wake: Callable[[float], None] = lambda _: None
    ) -> None:
        """Call ``wake`` with every deadline that is earlier than ``wake_at``.

        ``wake_at`` is when the owner will ask next.  A deadline that moves later or stops does not
        change it, so that traffic almost never touches the owner's schedule.  ``entropy`` returns
        as many random bytes as it is asked for.
        """
        self.persistent_keepalive = 0  # seconds; 0 is off
        self.wake_at = IDLE
        self._wake = wake
        self._deadlines = [IDLE] * len(Timer)
        self._repeat_keepalive = False
        self._entropy = entropy

    def fire(self, event: Event, now: float) -> None:
        """Apply the table's row for ``event``, which happened at ``now``, perhaps in the past."""
        deadlines = self._deadlines
        for timer, action in TRANSITIONS[event]:
            if action is Action.STOP:
                deadlines[timer] = IDLE
            elif action is Action.START or deadlines[timer] == IDLE:
                self.start(timer, now)
            elif action is Action.START_OR_REPEAT:
                self._repeat_keepalive = True

    def start(self, timer: Timer, now: float) -> None:
        """Start one timer from ``now``; a persistent keepalive of 0 stays idle."""
        if timer is Timer.PERSISTENT_KEEPALIVE:
            deadline = now + self.persistent_keepalive if self.persistent_keepalive else IDLE
        elif timer in JITTERED:
            milliseconds = int.from_bytes(self._entropy(4), "little") % JITTER_MILLISECONDS
            deadline = now + DURATIONS[timer] + milliseconds / 1000
        else:
            deadline = now + DURATIONS[timer]
        self._deadlines[timer] = deadline
        if deadline < self.wake_at:
            self.wake_at = deadline
            self._wake(deadline)

    def stop(self, timer: Timer) -> None:
        """Stop one timer; do nothing if it does not run."""
        self._deadlines[timer] = IDLE

    def stop_all(self) -> None:
        """Stop all timers: the interface goes down or the peer is removed.

        The owner need not ask until one is started again.
        """
        self.wake_at = IDLE
        self._deadlines = [IDLE] * len(Timer)
        self._repeat_keepalive = False

    def is_running(self, timer: Timer) -> bool:
        """Return whether a timer has a deadline."""
        return self._deadlines[timer] != IDLE

    def next_deadline(self) -> float:
        """Return the earliest deadline; ``IDLE`` if no timer runs."""
        return min(self._deadlines)

    def take_due(self, now: float) -> list[Timer]:
        """Stop the timers that are due, and return them, the earliest first."""
        due = [timer for timer in Timer if self._deadlines[timer] <= now]
        due.sort(key=self._deadlines.__getitem__)
        for timer in due:
            self._deadlines[timer] = IDLE
        return due

    def take_repeat(self) -> bool:
        """Return whether SEND_KEEPALIVE must start once more, and forget it.

        It must if data came while it ran.
        """
        repeat, self._repeat_keepalive = self._repeat_keepalive, False
        return repeat
