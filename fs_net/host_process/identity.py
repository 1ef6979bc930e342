# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a peer keeps from one start to the next: its key, and the peers that it met."""

import os
from pathlib import Path

import cbor2
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair

_SEED_LEN = 32
_MAX_PEERS = 1000

Peers = list[tuple[bytes, list[str]]]


def load_identity(folder: Path) -> KeyPair:
    """Load the Ed25519 key pair from the file ``identity.key``; create the file if it is missing.

    The folder gets mode 0700 and the file 0600. Raises PermissionError if other users can read the
    file, and ValueError if it holds something else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "identity.key"
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        _write_privately(path, os.urandom(_SEED_LEN))
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(file, "rb") as stream:
        if os.fstat(file).st_mode & 0o077:
            raise PermissionError(f"other users can read {path}; run: chmod 600 {path}")
        seed = stream.read(_SEED_LEN + 1)
    if len(seed) != _SEED_LEN:
        raise ValueError(f"{path} holds no identity; remove it, and a new identity is created")
    return create_new_key_pair(seed)


def load_peers(folder: Path) -> Peers:
    """Return the peers that ``save_peers`` wrote, or none if the file is missing or damaged."""
    try:
        peers = cbor2.loads((folder / "peers.cbor").read_bytes())
        return [(bytes(peer), [str(each) for each in addresses]) for peer, addresses in peers]
    except (OSError, ValueError, TypeError, cbor2.CBORError):
        return []


def save_peers(folder: Path, peers: Peers) -> None:
    """Write the peers to dial after the next start, in place of the earlier ones."""
    _write_privately(folder / "peers.cbor", cbor2.dumps(peers[:_MAX_PEERS]))


def _write_privately(path: Path, data: bytes) -> None:
    unnamed = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(file)
    unnamed.replace(path)
