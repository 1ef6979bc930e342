# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client's dealing with a provider, for tests that need no provider."""

from pathlib import Path

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_tunnel.roles.starts import Dealing, Purse, User
from fs_wire.types import KEY_LEN, PublicKey

PURSE = Purse(
    books=Path("/var/lib/fs-tunnel/market/paid.books"),
    token=Token("FST", 6, Address(b"\1" * 20)),
    chain_id=31337,
    channels=Address(b"\2" * 20),
    genesis=bytes(range(32)),
    payer=Address(b"\3" * 20),
    wireguard_key=PublicKey(b"\4" * KEY_LEN),
    budget=2**90,
)
DEALING = Dealing(
    user=User(1000, 1001),
    purse=PURSE,
    session_key_file=Path("/var/lib/fs-tunnel/market/paid.key.1"),
    max_price=Price(50_000, 0),
)
