# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The journal of one chain: the database with the tables of every book of the market.

Each book is a module of functions that take a connection of ``Database.do``.
"""

from pathlib import Path

from fs_market.chain import transactions
from fs_market.database import Database
from fs_market.money import tasks, voucher_book
from fs_market.session import session_book

_TABLES = transactions.SCHEMA + voucher_book.SCHEMA + tasks.SCHEMA + session_book.SCHEMA


class Journal(Database):
    """Transactions, vouchers, tasks and sessions of one chain."""

    def __init__(self, path: Path, chain: bytes) -> None:
        """``chain`` is the hash of the chain's first block."""
        super().__init__(path, chain, _TABLES)
