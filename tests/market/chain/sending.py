# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What tests of sending wait for, and what the journal says of a transaction."""

import sqlite3
from pathlib import Path

from fs_market.chain import transactions
from fs_market.chain.sender import Patience
from fs_market.chain.transactions import Entry
from fs_market.journal import Journal
from fs_market.money.wallet import Wallet
from tests.market.nodes import Anvil
from tests.market.parties import until

HASTY = Patience(poll=0.01, replace_after=0.05, give_up_after=30.0)
BRIEF = Patience(poll=0.01, replace_after=1000.0, give_up_after=0.2)
REFUSED = '{"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": "no"}}'


def entries(journal: Path) -> list[tuple[str, int, str | None, int]]:
    """Return intent, nonce, outcome and attempts of every transaction in a journal."""
    with sqlite3.connect(journal) as db:
        rows = db.execute(
            "SELECT intent, nonce, outcome, (SELECT count(*) FROM attempts WHERE tx = id)"
            " FROM transactions ORDER BY nonce"
        ).fetchall()
    db.close()
    return rows


async def attempts(journal: Journal, wallet: Wallet) -> tuple[transactions.Signed, ...]:
    found: list[Entry] = await journal.do(lambda db: transactions.unfinished(db, wallet.address))
    return found[0].attempts if found else ()


async def signed(journal: Journal, wallet: Wallet, count: int) -> None:
    async def are_there() -> bool:
        return len(await attempts(journal, wallet)) >= count

    await until(are_there)


async def mined(node: Anvil, wallet: Wallet) -> None:
    async def is_there() -> bool:
        return node.nonce(wallet.address) > 0

    await until(is_there)
