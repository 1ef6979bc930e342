# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Wallets that cost nothing to open; ``wallet import`` makes them so that each takes a second."""

import json
from pathlib import Path

from eth_keyfile.keyfile import create_keyfile_json

from fs_market.money.wallet import write_once

_SCRYPT_N = 2


def write_keystore(wallet: Path, secret: bytes, password: str) -> None:
    """Keep an account's secret in a new file, as the program does but for the work."""
    keystore = create_keyfile_json(secret, password.encode(), 3, "scrypt", _SCRYPT_N)
    write_once(wallet, json.dumps(keystore).encode() + b"\n")
