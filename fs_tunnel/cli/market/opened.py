# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The market that a verb works in."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fs_tunnel.roles import open_market
from fs_tunnel.roles.open_market import Market


def opened(
    wallet_file: Path | None, settings_file: Path | None, rpc: str | None
) -> AbstractAsyncContextManager[Market]:
    """Open what the settings name, for the wallet named or the usual one."""
    return open_market.opened(settings_file, rpc, wallet_file or open_market.default_wallet())
