# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market rotate-heartbeat``: another key for heartbeats."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import click

from fs_tunnel.cli.market import standing
from fs_tunnel.roles.provider.desk import opened_desk


@click.command("rotate-heartbeat")
@standing.options
def rotate_heartbeat(**options: Any) -> None:
    """Replace the heartbeat key, if it may have leaked.

    The old key is invalid from then on. Run serve again to use the new one.
    """
    asyncio.run(_rotate(**options))


async def _rotate(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        desk.check_owner()
        standing.check_announced(desk)
        key = bytes(desk.keys.next_heartbeat().verify_key)
        done = None
        if desk.entry.heartbeat_key != key:  # else an earlier command was cut short after that
            await desk.ask("Replace the heartbeat key:", ["rotate"], is_given=yes)
            errands = await desk.staking(password_file)
            done = await errands.rotate(key, secrets.token_bytes(16))
        desk.keys.use_next_heartbeat()
        standing.finish(desk, done, "replaced; run fs-tunnel serve again to use it", as_json)
