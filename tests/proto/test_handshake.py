# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One peer's handshake: whom it answers, what it believes, and what it forgets."""

import os
from dataclasses import replace

import pytest
from noise.connection import Keypair as NoiseKeypair
from noise.connection import NoiseConnection

from fs_tunnel.proto.crypto import aead_open, aead_seal
from fs_tunnel.proto.errors import AuthenticationFailed, ReplayDetected
from fs_tunnel.proto.handshake import Handshake, OpenedInitiation, SessionKeys, open_initiation
from fs_tunnel.proto.messages import Response
from fs_tunnel.proto.noise import StaticKeys

ALICE, BOB = (StaticKeys.from_private(os.urandom(32)) for _ in range(2))
PSK = os.urandom(32)


def stamp(number: int) -> bytes:
    return number.to_bytes(12, "big")


@pytest.fixture
def alice() -> Handshake:
    return Handshake(ALICE, BOB.public, PSK)


@pytest.fixture
def bob() -> Handshake:
    return Handshake(BOB, ALICE.public, PSK)


def opened(alice: Handshake, number: int) -> OpenedInitiation:
    return open_initiation(BOB, alice.create_initiation(7, stamp(number), os.urandom))


def complete(alice: Handshake, bob: Handshake) -> tuple[SessionKeys, SessionKeys]:
    initiation = opened(alice, 1)
    bob.consume_initiation(initiation, 0)
    response, keys, _ = bob.create_response(initiation, 9, os.urandom)
    return alice.consume_response(response), keys


def test_another_implementation_of_noise_agrees(alice: Handshake) -> None:
    bob = NoiseConnection.from_name(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    bob.set_prologue(b"WireGuard v1 zx2c4 Jason@zx2c4.com")
    bob.set_psks(PSK)
    bob.set_as_responder()
    bob.set_keypair_from_private_bytes(NoiseKeypair.STATIC, BOB.private)
    bob.start_handshake()
    sent = alice.create_initiation(7, stamp(1), os.urandom)
    noise = sent.unencrypted_ephemeral + sent.encrypted_static + sent.encrypted_timestamp
    assert bob.read_message(noise) == stamp(1)
    answer = bytes(bob.write_message(b""))
    keys = alice.consume_response(Response(9, 7, answer[:32], answer[32:]))
    assert (keys.local_index, keys.remote_index, keys.is_initiator) == (7, 9, True)
    assert bob.decrypt(aead_seal(keys.sending, 0, b"ping", b"")) == b"ping"
    assert aead_open(keys.receiving, 0, bytes(bob.encrypt(b"pong")), b"") == b"pong"


def test_each_side_sends_with_what_the_other_receives_with(
    alice: Handshake, bob: Handshake
) -> None:
    of_alice, of_bob = complete(alice, bob)
    assert (of_alice.sending, of_alice.receiving) == (of_bob.receiving, of_bob.sending)
    assert (of_alice.local_index, of_alice.remote_index) == (7, 9)
    assert (of_bob.local_index, of_bob.remote_index) == (9, 7)
    assert (of_alice.is_initiator, of_bob.is_initiator) == (True, False)
    for secret in (of_alice.sending, of_alice.receiving):
        assert str(secret) not in repr(of_alice)
        assert secret.hex() not in repr(of_alice)


def test_a_timestamp_is_later_than_every_one_before(alice: Handshake, bob: Handshake) -> None:
    bob.consume_initiation(opened(alice, 5), 0)
    for number in (5, 4, 1):
        with pytest.raises(ReplayDetected):
            bob.consume_initiation(opened(alice, number), 10)
    bob.consume_initiation(opened(alice, 6), 10)


def test_50_initiations_a_second_and_no_more(alice: Handshake, bob: Handshake) -> None:
    bob.consume_initiation(opened(alice, 1), 0)
    with pytest.raises(ReplayDetected):
        bob.consume_initiation(opened(alice, 9), 0.019)
    # What came too early left no trace: neither its timestamp nor its time.
    bob.consume_initiation(opened(alice, 2), 0.02)
    with pytest.raises(ReplayDetected):
        bob.consume_initiation(opened(alice, 3), 0.039)


def test_an_initiation_that_is_not_authentic_leaves_no_trace(
    alice: Handshake, bob: Handshake
) -> None:
    good = alice.create_initiation(7, stamp(9), os.urandom)
    bad = replace(good, encrypted_timestamp=bytes(28))
    with pytest.raises(AuthenticationFailed):
        bob.consume_initiation(open_initiation(BOB, bad), 0)
    bob.consume_initiation(open_initiation(BOB, good), 0)


def test_an_initiation_for_another_is_refused(alice: Handshake) -> None:
    sent = alice.create_initiation(7, stamp(1), os.urandom)
    with pytest.raises(AuthenticationFailed):
        open_initiation(ALICE, sent)


def test_a_response_names_the_pending_initiation(alice: Handshake, bob: Handshake) -> None:
    initiation = opened(alice, 1)
    bob.consume_initiation(initiation, 0)
    response, _, _ = bob.create_response(initiation, 9, os.urandom)
    for wrong in (replace(response, receiver=8), replace(response, encrypted_nothing=bytes(16))):
        with pytest.raises(AuthenticationFailed):
            alice.consume_response(wrong)
    assert alice.consume_response(response).remote_index == 9
    with pytest.raises(AuthenticationFailed):
        alice.consume_response(response)


def test_a_later_initiation_makes_the_earlier_ones_response_worthless(
    alice: Handshake, bob: Handshake
) -> None:
    initiation = opened(alice, 1)
    bob.consume_initiation(initiation, 0)
    response, _, _ = bob.create_response(initiation, 9, os.urandom)
    alice.create_initiation(7, stamp(2), os.urandom)
    with pytest.raises(AuthenticationFailed):
        alice.consume_response(response)


def test_an_ephemeral_is_forgotten_once_used(alice: Handshake, bob: Handshake) -> None:
    alice.create_initiation(7, stamp(1), os.urandom)
    assert alice.ephemeral is not None
    complete(alice, bob)
    assert alice.ephemeral is None
    assert alice.local_index is None


def test_a_changed_identity_makes_all_secrets_anew(alice: Handshake) -> None:
    carol = StaticKeys.from_private(os.urandom(32))
    alice.create_initiation(7, stamp(1), os.urandom)
    alice.set_local(carol)
    assert alice.ephemeral is None
    bob = Handshake(BOB, carol.public, PSK)
    assert opened(alice, 2).remote_static == carol.public
    bob.consume_initiation(opened(alice, 3), 0)


def test_without_an_identity_nothing_is_said(alice: Handshake) -> None:
    alice.set_local(None)
    with pytest.raises(AuthenticationFailed, match="no private key"):
        alice.create_initiation(7, stamp(1), os.urandom)
    assert alice.local_index is None
