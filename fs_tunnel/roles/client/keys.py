# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The keys of a client's tunnel: one for the tunnel, and one for the session with each provider.

An interrupted purchase leaves its keys behind, and the next command uses them again.
"""

import secrets
from pathlib import Path

from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.signatures import SigningKey
from fs_market.money import wallet as keystores
from fs_tunnel.config import load
from fs_tunnel.console import questions
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.market_files import MarketFiles, write_private
from fs_wire.types import PrivateKey


def session_key(files: MarketFiles, provider: Provider) -> tuple[Address, Path]:
    """The address of the key for the session with this provider, and the key's file."""
    file = files.session_key_of(provider.name)
    if not file.exists():
        keystores.write_once(file, secrets.token_hex(32).encode() + b"\n")
    key = SigningKey(keystores.parse_secret(questions.read_secret(file)))
    return key.address, file


def private_key(files: MarketFiles) -> PrivateKey:
    """The tunnel's WireGuard key, which it keeps wherever it moves."""
    if not files.conf.exists():
        key = PrivateKey(secrets.token_bytes(32))
        write_private(files.conf, f"[Interface]\nPrivateKey = {key.to_base64()}\n".encode())
    return load(files.conf).interface.private_key
