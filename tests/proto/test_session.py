# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How the three sessions of a peer rotate."""

from fs_tunnel.proto.session import Session, Sessions


def ours(index: int) -> Session:
    """A session that we initiated."""
    return Session(index, is_initiator=True)


def theirs(index: int) -> Session:
    return Session(index, is_initiator=False)


def state(pairs: Sessions) -> tuple[Session | None, Session | None, Session | None]:
    return pairs.previous, pairs.current, pairs.next


def test_an_initiators_rotation() -> None:
    pairs = Sessions()
    a, b, c = (ours(index) for index in range(3))
    assert pairs.begin_session(a) == []
    assert state(pairs) == (None, a, None)
    assert pairs.begin_session(b) == []
    assert state(pairs) == (a, b, None)
    assert pairs.begin_session(c) == [a]
    assert state(pairs) == (b, c, None)
    assert pairs.clear() == [b, c]
    assert state(pairs) == (None, None, None)


def test_a_responders_rotation_waits_for_the_first_packet() -> None:
    pairs = Sessions()
    a, b, c = (theirs(index) for index in range(3))
    pairs.begin_session(a)
    assert state(pairs) == (None, None, a)
    assert pairs.confirm(a) == []
    assert state(pairs) == (None, a, None)
    assert pairs.begin_session(b) == []
    assert state(pairs) == (None, a, b)
    assert pairs.begin_session(c) == [b]
    assert state(pairs) == (None, a, c)
    assert pairs.confirm(c) == []
    assert state(pairs) == (a, c, None)
    d = theirs(3)
    assert pairs.begin_session(d) == [a]
    assert state(pairs) == (None, c, d)


def test_what_falls_out_at_a_confirmation() -> None:
    pairs = Sessions()
    a, b, unconfirmed, c = ours(0), ours(1), theirs(2), ours(3)
    for each in (a, b):
        pairs.begin_session(each)
    pairs.next = unconfirmed
    assert state(pairs) == (a, b, unconfirmed)
    assert pairs.confirm(unconfirmed) == [a]
    assert state(pairs) == (b, unconfirmed, None)
    assert pairs.begin_session(c) == [b]
    assert state(pairs) == (unconfirmed, c, None)


def test_all_three_are_erased() -> None:
    pairs = Sessions()
    held = [ours(0), ours(1), theirs(2)]
    pairs.previous, pairs.current, pairs.next = held
    assert pairs.clear() == held
    assert state(pairs) == (None, None, None)


def test_an_unconfirmed_session_is_kept_when_we_initiate() -> None:
    pairs = Sessions()
    old, unconfirmed, young = ours(0), theirs(1), ours(2)
    pairs.begin_session(old)
    pairs.begin_session(unconfirmed)
    assert pairs.begin_session(young) == [old]
    assert state(pairs) == (unconfirmed, young, None)
