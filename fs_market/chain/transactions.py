# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Transactions in the journal: each is there with its nonce and its signature before it is sent.

An *intent* names the purpose of a transaction, such as ``redeem:CHANNEL:AMOUNT``.  There is no
second transaction for an intent while one is unfinished or has succeeded.  The table ``attempts``
has everything that was signed for one nonce, and a chain mines one of them at most.  So an intent
is never carried out twice.

The functions take the connection of ``database.Database.do``.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fs_market.chain.answers import Receipt
from fs_market.chain.fees import Fees
from fs_market.core.wire.ethereum import Address

SCHEMA = """
CREATE TABLE transactions (
    id INTEGER PRIMARY KEY,
    intent TEXT NOT NULL,
    sender BLOB NOT NULL CHECK (length(sender) = 20),
    nonce INTEGER NOT NULL CHECK (nonce >= 0),
    receiver BLOB CHECK (length(receiver) = 20),
    data BLOB NOT NULL,
    value BLOB NOT NULL CHECK (length(value) = 32),
    gas INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN ('succeeded', 'failed', 'displaced')),
    gas_used INTEGER,
    UNIQUE (sender, nonce)
) STRICT;
CREATE UNIQUE INDEX live_intents ON transactions (sender, intent)
    WHERE outcome IS NULL OR outcome = 'succeeded';
CREATE TABLE attempts (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    tx INTEGER NOT NULL REFERENCES transactions,
    raw BLOB NOT NULL,
    fee_limit INTEGER NOT NULL,
    tip INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_of ON attempts (tx);
"""


class Outcome(StrEnum):
    """The final outcome of a transaction."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # it was mined, and a contract refused it
    DISPLACED = "displaced"  # a transaction that is not in the journal took its nonce


@dataclass(frozen=True, slots=True)
class Call:
    """The content of a transaction; ``value`` is in wei.

    A call without a receiver makes a contract.
    """

    receiver: Address | None
    data: bytes = b""
    value: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction as it is sent, its 32-byte hash, and the fees that it offers."""

    raw: bytes
    hash: bytes
    fees: Fees


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction in the journal; ``attempts`` has all that was signed for it, oldest first."""

    id: int
    intent: str
    nonce: int
    call: Call
    gas: int
    outcome: Outcome | None
    attempts: tuple[Signed, ...]


def live(db: sqlite3.Connection, sender: Address, intent: str) -> Entry | None:
    """Return the transaction of an intent that is unfinished or has succeeded."""
    row = db.execute(
        "SELECT id FROM transactions WHERE sender = ? AND intent = ?"
        " AND (outcome IS NULL OR outcome = 'succeeded')",
        (sender.raw, intent),
    ).fetchone()
    return None if row is None else get(db, row[0])


def unfinished(db: sqlite3.Connection, sender: Address) -> list[Entry]:
    """Return the transactions without an outcome, in the order of their nonces."""
    rows = db.execute(
        "SELECT id FROM transactions WHERE sender = ? AND outcome IS NULL ORDER BY nonce",
        (sender.raw,),
    ).fetchall()
    return [get(db, number) for (number,) in rows]


def get(db: sqlite3.Connection, number: int) -> Entry:
    """Return the transaction with this number, which has to exist."""
    intent, nonce, receiver, data, value, gas, outcome = db.execute(
        "SELECT intent, nonce, receiver, data, value, gas, outcome FROM transactions WHERE id = ?",
        (number,),
    ).fetchone()
    attempts = db.execute(
        "SELECT raw, hash, fee_limit, tip FROM attempts WHERE tx = ? ORDER BY rowid", (number,)
    ).fetchall()
    return Entry(
        id=number,
        intent=intent,
        nonce=nonce,
        call=Call(receiver and Address(receiver), data, int.from_bytes(value, "big")),
        gas=gas,
        outcome=outcome and Outcome(outcome),
        attempts=tuple(Signed(raw, digest, Fees(*fees)) for raw, digest, *fees in attempts),
    )


def reserve(
    db: sqlite3.Connection,
    sender: Address,
    intent: str,
    call: Call,
    gas: int,
    known_to_chain: int,
    sign: Callable[[int], Signed],
) -> Entry:
    """Write down a transaction with the next nonce, unless the intent has a live one; return it.

    ``known_to_chain`` is the nonce that the chain expects next; the journal may be ahead of it.
    """
    if (found := live(db, sender, intent)) is not None:
        return found
    (highest,) = db.execute(
        "SELECT max(nonce) FROM transactions WHERE sender = ?", (sender.raw,)
    ).fetchone()
    nonce = known_to_chain if highest is None else max(known_to_chain, highest + 1)
    (number,) = db.execute(
        "INSERT INTO transactions (intent, sender, nonce, receiver, data, value, gas)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            *(intent, sender.raw, nonce, call.receiver and call.receiver.raw, call.data),
            *(call.value.to_bytes(32, "big"), gas),
        ),
    ).fetchone()
    add_attempt(db, number, sign(nonce))
    return get(db, number)


def add_attempt(db: sqlite3.Connection, number: int, signed: Signed) -> None:
    """Write down a signed transaction before it is sent; another process may have made the same."""
    db.execute(
        "INSERT OR IGNORE INTO attempts (hash, tx, raw, fee_limit, tip) VALUES (?, ?, ?, ?, ?)",
        (signed.hash, number, signed.raw, signed.fees.limit, signed.fees.tip),
    )


def finish(db: sqlite3.Connection, number: int, receipt: Receipt | None) -> None:
    """Write down the outcome of a transaction; without a receipt it was displaced."""
    if receipt is None:
        outcome = Outcome.DISPLACED
    else:
        outcome = Outcome.SUCCEEDED if receipt.has_succeeded else Outcome.FAILED
    db.execute(
        "UPDATE transactions SET outcome = ?, gas_used = ? WHERE id = ?",
        (outcome, receipt and receipt.gas_used, number),
    )
