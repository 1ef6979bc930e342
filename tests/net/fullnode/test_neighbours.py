# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which full nodes a full node dials, and with which it compares records."""

from hypothesis import given
from hypothesis import strategies as st

from fs_net.fullnode.neighbours import Neighbours

BOB, CAROL, DAVE = b"bob", b"carol", b"dave"
NOW = 10**12  # ms
MINUTE = 60_000


def test_who_was_met_is_dialled_when_it_is_gone() -> None:
    known = Neighbours()
    known.heard_of({BOB: ["/ip4/1"], CAROL: ["/ip4/2"]})
    known.see([BOB, CAROL])
    assert known.to_dial(NOW) == []
    known.see([CAROL])
    assert known.to_dial(NOW) == [(BOB, ["/ip4/1"])]
    known.failed(BOB, NOW)
    assert known.to_dial(NOW + 1000) == []
    assert known.to_dial(NOW + 2000) == [(BOB, ["/ip4/1"])]
    known.see([BOB, CAROL])
    known.see([CAROL])
    assert known.to_dial(NOW + 2001)  # it was connected before, so it is dialled at once


def test_who_never_answers_is_dialled_less_and_less_and_forgotten() -> None:
    known = Neighbours()
    known.heard_of({BOB: ["/ip4/1"]})
    now, dials = NOW, []
    for _ in range(10_000):
        if known.to_dial(now):
            dials.append(now)
            known.failed(BOB, now)
        now += 1000
    assert len(dials) == 16
    assert dials[1] - dials[0] == 2000
    assert dials[-1] - dials[-2] == 300_000
    known.failed(BOB, now)  # it was forgotten


def test_few_are_dialled_and_few_are_known() -> None:
    known = Neighbours()
    known.heard_of({number.to_bytes(4, "big"): ["/ip4/1"] * 9 for number in range(1000)})
    known.heard_of({BOB: []})
    assert len(known._known) == 256
    assert len(known.to_dial(NOW)) == 8
    assert all(len(addresses) == 4 for _, addresses in known.to_dial(NOW))
    known.see([number.to_bytes(4, "big") for number in range(6)])
    assert len(known.to_dial(NOW)) == 2
    known.see([number.to_bytes(4, "big") for number in range(9)])
    assert known.to_dial(NOW) == []


def test_who_appears_is_compared_with_at_once_and_then_in_turn() -> None:
    known = Neighbours(MINUTE)
    assert known.to_compare(NOW) is None
    known.see([BOB, CAROL])
    for expected in (BOB, CAROL):
        assert known.to_compare(NOW) == expected
        known.compared(expected, NOW)
    assert known.to_compare(NOW + MINUTE - 1) is None
    known.see([BOB, CAROL, DAVE])
    assert known.to_compare(NOW + 1) == DAVE
    known.compared(DAVE, NOW + 1)
    known.see([CAROL, DAVE])
    known.see([BOB, CAROL, DAVE])
    assert known.to_compare(NOW + 2) == BOB  # it had disconnected
    known.compared(BOB, NOW + 2)
    assert known.to_compare(NOW + MINUTE) == CAROL


@given(st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=30))
def test_nobody_waits_for_longer_than_a_turn(connected: list[set[int]]) -> None:
    known, waited = Neighbours(MINUTE), dict[bytes, int]()
    for number, those in enumerate(connected):
        peers = {each.to_bytes(1, "big") for each in those}
        known.see(peers)
        now = NOW + number * MINUTE
        waited = {peer: waited.get(peer, 0) + 1 for peer in peers}
        while (peer := known.to_compare(now)) is not None:
            known.compared(peer, now)
            assert peer in known.connected
            waited[peer] = 0
        assert all(count == 0 for count in waited.values())
