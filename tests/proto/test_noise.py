# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The handshake against cacophony's vector, and against an independent implementation."""

import os

import pytest
from noise.connection import Keypair as NoiseKeypair
from noise.connection import NoiseConnection

from fs_tunnel.proto.crypto import aead_open, aead_seal, dh
from fs_tunnel.proto.errors import AuthenticationFailed
from fs_tunnel.proto.noise import NoiseIKpsk2, StaticKeys
from tests.vectors import load

NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
VECTOR = load("noise_ikpsk2")


def field(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def message(number: int) -> tuple[bytes, bytes]:
    entry = VECTOR["messages"][number]
    return bytes.fromhex(entry["payload"]), bytes.fromhex(entry["ciphertext"])


def test_cacophony() -> None:
    alice = StaticKeys.from_private(field("init_static"))
    bob = StaticKeys.from_private(field("resp_static"))
    assert bob.public == field("init_remote_static")
    initiator = NoiseIKpsk2(field("prologue"), bob.public)
    responder = NoiseIKpsk2(field("prologue"), bob.public)

    payload, ciphertext = message(0)
    parts = initiator.write_initiation(
        alice, bob.public, dh(alice.private, bob.public), field("init_ephemeral"), payload
    )
    assert b"".join(parts) == ciphertext
    ephemeral, static, sealed = parts
    assert responder.read_initiation_static(bob, ephemeral, static) == alice.public
    shared = dh(bob.private, alice.public)
    assert responder.read_initiation_payload(shared, sealed) == payload

    payload, ciphertext = message(1)
    ephemeral, sealed = responder.write_response(
        alice.public, field("psk"), field("resp_ephemeral"), payload
    )
    assert ephemeral + sealed == ciphertext
    assert initiator.read_response(alice, field("psk"), ephemeral, sealed) == payload

    assert initiator.split() == responder.split()
    keys = initiator.split()
    for number in range(2, 6):
        payload, ciphertext = message(number)
        key, counter = keys[number % 2], (number - 2) // 2
        assert aead_seal(key, counter, payload, b"") == ciphertext
        assert aead_open(key, counter, ciphertext, b"") == payload


def independent(*, initiator: bool, own: bytes, psk: bytes, remote: bytes = b"") -> NoiseConnection:
    made = NoiseConnection.from_name(NAME)
    made.set_psks(psk)
    made.set_prologue(b"a prologue")
    made.set_keypair_from_private_bytes(NoiseKeypair.STATIC, own)
    if initiator:
        made.set_as_initiator()
        made.set_keypair_from_public_bytes(NoiseKeypair.REMOTE_STATIC, remote)
    else:
        made.set_as_responder()
    made.start_handshake()
    return made


@pytest.mark.parametrize("attempt", range(5))
def test_an_independent_responder_understands_us(attempt: int) -> None:
    alice = StaticKeys.from_private(os.urandom(32))
    bob = StaticKeys.from_private(os.urandom(32))
    psk, payload = os.urandom(32), os.urandom(attempt * 7)
    other = independent(initiator=False, own=bob.private, psk=psk)
    ours = NoiseIKpsk2(b"a prologue", bob.public)
    parts = ours.write_initiation(
        alice, bob.public, dh(alice.private, bob.public), os.urandom(32), payload
    )
    assert other.read_message(b"".join(parts)) == payload
    response = bytes(other.write_message(b"answer"))
    assert ours.read_response(alice, psk, response[:32], response[32:]) == b"answer"
    assert other.decrypt(aead_seal(ours.split()[0], 0, b"data", b"")) == b"data"


@pytest.mark.parametrize("attempt", range(5))
def test_we_understand_an_independent_initiator(attempt: int) -> None:
    alice = StaticKeys.from_private(os.urandom(32))
    bob = StaticKeys.from_private(os.urandom(32))
    psk, payload = os.urandom(32), os.urandom(attempt * 7)
    other = independent(initiator=True, own=alice.private, psk=psk, remote=bob.public)
    first = bytes(other.write_message(payload))
    ours = NoiseIKpsk2(b"a prologue", bob.public)
    assert ours.read_initiation_static(bob, first[:32], first[32:80]) == alice.public
    assert ours.read_initiation_payload(dh(bob.private, alice.public), first[80:]) == payload
    ephemeral, sealed = ours.write_response(alice.public, psk, os.urandom(32), b"answer")
    assert other.read_message(ephemeral + sealed) == b"answer"
    assert other.decrypt(aead_seal(ours.split()[1], 0, b"data", b"")) == b"data"


def test_another_prologue_psk_or_key_fails() -> None:
    alice = StaticKeys.from_private(os.urandom(32))
    bob = StaticKeys.from_private(os.urandom(32))
    shared = dh(alice.private, bob.public)

    def initiation(prologue: bytes) -> tuple[NoiseIKpsk2, tuple[bytes, bytes, bytes]]:
        noise = NoiseIKpsk2(prologue, bob.public)
        return noise, noise.write_initiation(alice, bob.public, shared, os.urandom(32), b"")

    _, (ephemeral, static, _) = initiation(b"one")
    with pytest.raises(AuthenticationFailed):
        NoiseIKpsk2(b"two", bob.public).read_initiation_static(bob, ephemeral, static)
    with pytest.raises(AuthenticationFailed):
        NoiseIKpsk2(b"one", bob.public).read_initiation_static(alice, ephemeral, static)

    initiator, (ephemeral, static, payload) = initiation(b"one")
    responder = NoiseIKpsk2(b"one", bob.public)
    responder.read_initiation_static(bob, ephemeral, static)
    with pytest.raises(AuthenticationFailed):
        responder.copy().read_initiation_payload(bytes(32), payload)
    responder.read_initiation_payload(shared, payload)
    ephemeral, sealed = responder.write_response(alice.public, bytes(32), os.urandom(32), b"")
    with pytest.raises(AuthenticationFailed):
        initiator.copy().read_response(alice, b"\1" * 32, ephemeral, sealed)
    initiator.read_response(alice, bytes(32), ephemeral, sealed)


def test_keys_are_not_shown() -> None:
    keys = StaticKeys.from_private(bytes(range(32)))
    assert repr(keys) == "StaticKeys(hidden)"
