# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keys, and short tunnel files around them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fs_tunnel.config import (
    InterfaceConfig,
    PeerConfig,
    TunnelConfig,
    parse,
)
from fs_tunnel.proto.crypto import public_key
from fs_wire.errors import ConfigError
from fs_wire.types import KEY_LEN, PresharedKey, PrivateKey, PublicKey

ALICE, BOB, CAROL = (PrivateKey(os.urandom(KEY_LEN)) for _ in range(3))
PSK = PresharedKey(os.urandom(KEY_LEN))


def public(key: PrivateKey) -> PublicKey:
    return PublicKey(public_key(key.raw))


# By default, [Interface] ends in line 2, and the first line of a test is line 3.
HEAD = f"[Interface]\nPrivateKey = {ALICE.to_base64()}\n"
PEER = f"[Peer]\nPublicKey = {public(BOB).to_base64()}\n"


def read(text: str) -> TunnelConfig:
    return parse(text, name="alice", source="alice.conf")


def interface(lines: str) -> InterfaceConfig:
    return read(HEAD + lines).interface


def peer(lines: str) -> PeerConfig:
    return read(HEAD + PEER + lines).peers[0]


@contextmanager
def refused(where: str, remedy: str) -> Iterator[None]:
    """The error begins at ``where``, holds ``remedy``, is one line, and quotes no key."""
    with pytest.raises(ConfigError) as caught:
        yield
    message = str(caught.value)
    assert message.startswith(where)
    assert remedy in message
    assert "\n" not in message
    for secret in (ALICE, BOB, CAROL, PSK):
        assert secret.to_base64()[:12] not in message
    assert caught.value.exit_code == 2
