# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market retire``: out of the Registry."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import click

from fs_tunnel.cli.market import standing
from fs_tunnel.roles.provider.desk import opened_desk


@click.command()
@standing.options
def retire(**options: Any) -> None:
    """Remove your provider from the Registry; keep the stake."""
    asyncio.run(_retire(**options))


async def _retire(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        desk.check_owner()
        standing.check_announced(desk)
        await desk.ask(f"Take {desk.provider} out of the Registry:", ["retire"], is_given=yes)
        errands = await desk.staking(password_file)
        done = await errands.retire(secrets.token_bytes(16))
        standing.finish(
            desk, done, "retired; the stake stays, see fs-tunnel market unstake", as_json
        )
