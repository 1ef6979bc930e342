# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Ids of libp2p peers, which are made from their Ed25519 keys (libp2p's "Peer Ids")."""

_ED25519 = bytes.fromhex("002408011220")  # the part of the identity multihash before the key


def peer_id(key: bytes) -> bytes:
    """Return the binary id of the peer with this key of 32 bytes."""
    return _ED25519 + key


def key_of(peer: bytes) -> bytes:
    """Return the key in a binary id."""
    assert peer.startswith(_ED25519)
    return peer.removeprefix(_ED25519)


def name_of(peer: bytes) -> str:
    """Return a binary id in the form that multiaddrs use."""
    import base58  # noqa: PLC0415 - it comes with the extra "network"

    return base58.b58encode(peer).decode("ascii")
