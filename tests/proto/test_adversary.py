# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Eve owns the wire: she drops, repeats, reorders, delays and forges datagrams.

Whatever she does, no packet is delivered twice, none is forged, and once she leaves, the pair
recovers within the timers' bounds.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fs_wire.types import Endpoint
from tests.proto.world import RECOVERY_BOUND, Datagram, World, every
from tests.walks import examples

EVE = Endpoint("198.51.100.66", 6666)
positions = st.integers(min_value=0, max_value=10_000)


class Eve(RuleBasedStateMachine):
    """Every rule is one thing that Alice, Bob, time or Eve may do next."""

    @initialize(seed=st.integers(0, 2**16), connected=st.booleans())
    def begin(self, seed: int, connected: bool) -> None:
        self.world = World(seed)
        self.sent: Counter[bytes] = Counter()
        self.serial = 0
        if connected:
            self.world.handshake()

    @rule(by_alice=st.booleans(), size=st.integers(0, 1400))
    def somebody_sends(self, by_alice: bool, size: int) -> None:
        side = self.world.alice if by_alice else self.world.bob
        self.serial += 1
        self.sent[self.world.send(side, self.serial.to_bytes(8, "big") + bytes(size))] += 1

    @rule(seconds=st.sampled_from([0.01, 0.5, 5.4, 11.0, 16.0, 121.0, 181.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(by_alice=st.booleans())
    def somebody_loses_all_sessions(self, by_alice: bool) -> None:
        side = self.world.alice if by_alice else self.world.bob
        side.device.shut_down()
        side.device.come_up(self.world.now)

    @precondition(lambda self: self.world.wire)
    @rule(position=positions)
    def eve_delivers_any(self, position: int) -> None:
        wire = self.world.wire
        self.world.arrive(wire.pop(position % len(wire)))

    @precondition(lambda self: self.world.wire)
    @rule()
    def eve_lets_all_pass(self) -> None:
        self.world.settle()

    @precondition(lambda self: self.world.wire)
    @rule(position=positions)
    def eve_drops(self, position: int) -> None:
        wire = self.world.wire
        wire.pop(position % len(wire))

    @precondition(lambda self: self.world.history)
    @rule(position=positions, from_herself=st.booleans())
    def eve_repeats(self, position: int, from_herself: bool) -> None:
        old = self.world.history[position % len(self.world.history)]
        self.world.arrive(Datagram(old.data, EVE if from_herself else old.source, old.destination))

    @precondition(lambda self: self.world.history)
    @rule(position=positions, at=positions, flip=st.integers(1, 255))
    def eve_forges(self, position: int, at: int, flip: int) -> None:
        old = self.world.history[position % len(self.world.history)]
        data = bytearray(old.data)
        data[at % len(data)] ^= flip
        self.world.arrive(Datagram(bytes(data), old.source, old.destination))

    @precondition(lambda self: self.world.history)
    @rule(position=positions)
    def eve_reflects(self, position: int) -> None:
        old = self.world.history[position % len(self.world.history)]
        self.world.arrive(Datagram(old.data, old.destination, old.source))

    @rule(data=st.binary(max_size=200), to_alice=st.booleans())
    def eve_invents(self, data: bytes, to_alice: bool) -> None:
        side = self.world.alice if to_alice else self.world.bob
        self.world.arrive(Datagram(data, EVE, side.endpoint))

    @invariant()
    def nothing_is_forged_or_delivered_twice(self) -> None:
        if not hasattr(self, "world"):
            return
        delivered = Counter(self.world.alice.received + self.world.bob.received)
        assert delivered <= self.sent

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.wire.clear()
        heard = {side.name: len(side.received) for side in world.sides}
        for _ in every(1.0, RECOVERY_BOUND):
            for side in world.sides:
                self.serial += 1
                self.sent[world.send(side, self.serial.to_bytes(8, "big"))] += 1
            world.settle()
            world.advance(1.0, honest=True)
        for side in world.sides:
            assert len(side.received) > heard[side.name], f"{side.name} hears nothing"
        self.nothing_is_forged_or_delivered_twice()


Eve.TestCase.settings = settings(max_examples=examples(120), stateful_step_count=40)
TestEve = Eve.TestCase
