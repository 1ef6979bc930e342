"""Ids of libp2p's peers, which are made of their Ed25519 keys (libp2p's "Peer Ids")."""

_ED25519 = bytes.fromhex("002408011220")  # an identity multihash of such a key, up to the key


def peer_id(key: bytes) -> bytes:
    """The binary id of who has this key, of 32 bytes."""
    return _ED25519 + key


def key_of(peer: bytes) -> bytes:
    """The key in a binary id."""
    assert peer.startswith(_ED25519)
    return peer.removeprefix(_ED25519)


def name_of(peer: bytes) -> str:
    """A binary id as it stands in multiaddrs."""
    import base58  # noqa: PLC0415 - it comes with the extra "network"

    return base58.b58encode(peer).decode("ascii")
