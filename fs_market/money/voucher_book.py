# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Channels and their vouchers in the journal, for a payer and for a payee.

A payee writes a voucher down before it serves for it, and a payer before it sends it.  Vouchers are
cumulative, so the latest one of a channel replaces the earlier ones.  A lower one never replaces a
higher one.

The functions take the connection of ``database.Database.do``.
"""

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fs_market.core.wire.channels import Terms, Voucher
from fs_market.core.wire.ethereum import Address
from fs_market.errors import JournalError

SCHEMA = """
CREATE TABLE channels (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    side TEXT NOT NULL CHECK (side IN ('payer', 'payee')),
    payer BLOB NOT NULL CHECK (length(payer) = 20),
    payee BLOB NOT NULL CHECK (length(payee) = 20),
    session_key BLOB NOT NULL CHECK (length(session_key) = 20),
    window INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    order_digest BLOB NOT NULL CHECK (length(order_digest) = 32),
    salt BLOB NOT NULL CHECK (length(salt) = 32),
    is_closed INTEGER NOT NULL DEFAULT 0 CHECK (is_closed IN (0, 1))
) STRICT;
CREATE TABLE vouchers (
    channel BLOB PRIMARY KEY REFERENCES channels,
    cumulative BLOB NOT NULL CHECK (length(cumulative) = 12),
    signature BLOB NOT NULL CHECK (length(signature) = 65)
) STRICT;
"""
_TERMS = "payer, payee, session_key, window, expires_at, order_digest, salt"


class Side(StrEnum):
    """Our side of a channel."""

    PAYER = "payer"
    PAYEE = "payee"


@dataclass(frozen=True, slots=True)
class Account:
    """A channel and its latest voucher, which is None if there is none yet."""

    channel: bytes
    side: Side
    terms: Terms
    voucher: Voucher | None
    is_closed: bool

    @property
    def promised(self) -> int:
        """The base units that the payer has promised in total since the opening."""
        return self.voucher.cumulative if self.voucher else 0


def add_channel(db: sqlite3.Connection, channel: bytes, side: Side, terms: Terms) -> None:
    """Write down a channel before it is opened, or served; a second call does no harm."""
    db.execute(
        f"INSERT INTO channels (id, side, {_TERMS})"  # noqa: S608 - a constant
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            *(channel, side, terms.payer.raw, terms.payee.raw, terms.session_key.raw),
            *(terms.window, terms.expires_at, terms.order, terms.salt),
        ),
    )


def note_voucher(db: sqlite3.Connection, voucher: Voucher) -> None:
    """Write down a voucher.

    Raise JournalError if the journal has a higher voucher, or another one of the same amount.
    """
    changed = db.execute(
        "INSERT INTO vouchers (channel, cumulative, signature) VALUES (?, ?, ?)"
        " ON CONFLICT (channel) DO UPDATE SET cumulative = excluded.cumulative,"
        " signature = excluded.signature WHERE excluded.cumulative > cumulative"
        " OR (excluded.cumulative = cumulative AND excluded.signature = signature)",
        (voucher.channel, voucher.cumulative.to_bytes(12, "big"), voucher.signature),
    ).rowcount
    if changed == 0:
        raise JournalError(
            f"a voucher of {voucher.cumulative} is not above the one in the journal; "
            "sign a higher one"
        )


def note_closed(db: sqlite3.Connection, channel: bytes) -> None:
    """Note that a channel is closed in a final block."""
    db.execute("UPDATE channels SET is_closed = 1 WHERE id = ?", (channel,))


def account(db: sqlite3.Connection, channel: bytes) -> Account | None:
    """Return the account of a channel; None if the journal does not know the channel."""
    found = _accounts(db, "WHERE id = ?", channel)
    return found[0] if found else None


def open_accounts(db: sqlite3.Connection, side: Side) -> list[Account]:
    """Return the accounts on one side whose channels are not known to be closed."""
    return _accounts(db, "WHERE side = ? AND is_closed = 0", side)


def _accounts(db: sqlite3.Connection, where: str, argument: bytes | str) -> list[Account]:
    rows = db.execute(
        f"SELECT id, side, is_closed, cumulative, signature, {_TERMS}"  # noqa: S608 - constants
        f" FROM channels LEFT JOIN vouchers ON channel = id {where} ORDER BY channels.rowid",
        (argument,),
    ).fetchall()
    return [_account(*row) for row in rows]


def _account(
    channel: bytes,
    side: str,
    is_closed: int,
    cumulative: bytes | None,
    signature: bytes,
    *terms: Any,
) -> Account:
    payer, payee, session_key, window, expires_at, order, salt = terms
    voucher = None
    if cumulative is not None:
        voucher = Voucher(channel, int.from_bytes(cumulative, "big"), signature)
    return Account(
        channel=channel,
        side=Side(side),
        terms=Terms(
            Address(payer), Address(payee), Address(session_key), window, expires_at, order, salt
        ),
        voucher=voucher,
        is_closed=bool(is_closed),
    )
