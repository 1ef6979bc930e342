# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A keypair opens each message once, and obeys its limits of age and of messages."""

import pytest

from fs_tunnel.dataplane.keypair import Keypair
from fs_tunnel.proto.constants import REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES
from fs_tunnel.proto.crypto import aead_seal
from fs_tunnel.proto.errors import AuthenticationFailed, ReplayDetected, SessionExpired
from fs_tunnel.proto.messages import TransportHeader, parse_untrusted, transport_header
from fs_tunnel.proto.path import PathKeys

ONE, OTHER = bytes(range(32)), bytes(range(32, 64))


def pair(now: float = 0) -> tuple[Keypair, Keypair]:
    """Return the keypairs of one session: the initiator's and the responder's."""
    initiator = Keypair(PathKeys(1, 2, ONE, OTHER, is_initiator=True, created=now))
    responder = Keypair(PathKeys(2, 1, OTHER, ONE, is_initiator=False, created=now))
    return initiator, responder


def counter_of(datagram: bytes) -> int:
    header = parse_untrusted(datagram)
    assert isinstance(header, TransportHeader)
    return header.counter


def test_a_sealed_packet_is_opened_once_by_the_other_side() -> None:
    alice, bob = pair()
    for number in range(3):
        datagram = alice.seal(b"packet")
        assert counter_of(datagram) == number
        assert bob.open_untrusted(datagram, number, 1) == b"packet"
        with pytest.raises(ReplayDetected):
            bob.open_untrusted(datagram, number, 1)


def test_a_forgery_does_not_move_the_replay_window() -> None:
    alice, bob = pair()
    datagram = alice.seal(b"packet")
    with pytest.raises(AuthenticationFailed):
        bob.open_untrusted(datagram, 2**40, 1)
    assert bob.open_untrusted(datagram, 0, 1) == b"packet"


def test_a_forged_copy_of_an_old_message_is_refused_as_a_forgery() -> None:
    alice, bob = pair()
    bob.open_untrusted(alice.seal(b"packet"), 0, 1)
    with pytest.raises(AuthenticationFailed):
        bob.open_untrusted(transport_header(2, 0) + bytes(16), 0, 1)


@pytest.mark.parametrize("counter", [0, 1, 0x0102030405060708])
def test_a_datagram_is_a_header_and_standard_aead(counter: int) -> None:
    """Both keypairs of ``pair`` would agree on any nonce, so libsodium's function is the judge."""
    alice, bob = pair()
    alice.sending_counter = counter
    datagram = alice.seal(b"packet")
    assert datagram == transport_header(2, counter) + aead_seal(ONE, counter, b"packet", b"")
    answer = transport_header(1, counter) + aead_seal(OTHER, counter, b"answer", b"")
    assert alice.open_untrusted(answer, counter, 1) == b"answer"
    assert bob.open_untrusted(datagram, counter, 1) == b"packet"


def test_a_keypair_obeys_its_limits_of_age() -> None:
    alice, bob = pair(now=100)
    assert alice.may_send(279.9)
    assert not alice.may_send(280)
    datagram = alice.seal(b"")
    with pytest.raises(SessionExpired):
        bob.open_untrusted(datagram, 0, 280)
    assert bob.open_untrusted(datagram, 0, 279.9) == b""
    assert [alice.wants_rekey_after_sending(t) for t in (219.9, 220)] == [False, True]
    assert [alice.wants_rekey_after_receiving(t) for t in (264.9, 265)] == [False, True]
    assert not bob.wants_rekey_after_sending(279)
    assert not bob.wants_rekey_after_receiving(279)


def test_a_keypair_obeys_its_limits_of_messages() -> None:
    alice, bob = pair()
    for side in (alice, bob):
        side.sending_counter = REKEY_AFTER_MESSAGES - 1
        side.seal(b"")
        assert not side.wants_rekey_after_sending(1)
        side.seal(b"")
        assert side.wants_rekey_after_sending(1)
    alice.sending_counter = REJECT_AFTER_MESSAGES - 1
    last = alice.seal(b"last")
    assert bob.open_untrusted(last, REJECT_AFTER_MESSAGES - 1, 1) == b"last"
    assert not alice.may_send(1)
    with pytest.raises(SessionExpired):
        alice.seal(b"one more")
    with pytest.raises(SessionExpired):
        bob.open_untrusted(last, REJECT_AFTER_MESSAGES, 1)
