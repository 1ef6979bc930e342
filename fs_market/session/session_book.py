# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sessions in the journal: the record from which each goes on after a crash, and the places.

The functions take the connection of ``database.Database.do``.
"""

import sqlite3
from dataclasses import dataclass

SCHEMA = """
CREATE TABLE sessions (
    channel BLOB PRIMARY KEY CHECK (length(channel) = 32),
    record BLOB NOT NULL,
    is_over INTEGER NOT NULL CHECK (is_over IN (0, 1))
) STRICT;
CREATE TABLE places (
    number INTEGER PRIMARY KEY,
    channel BLOB NOT NULL UNIQUE CHECK (length(channel) = 32)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A session in the journal.

    ``record`` has the bytes of a ``ClientRecord`` or of a ``ProviderRecord``, by our side.
    """

    channel: bytes
    record: bytes
    is_over: bool


def put(db: sqlite3.Connection, channel: bytes, record: bytes, *, is_over: bool) -> None:
    """Write down a session's record in place of the earlier one."""
    db.execute(
        "INSERT INTO sessions (channel, record, is_over) VALUES (?, ?, ?)"
        " ON CONFLICT (channel) DO UPDATE SET record = excluded.record, is_over = excluded.is_over",
        (channel, record, is_over),
    )


def drop(db: sqlite3.Connection, channel: bytes) -> None:
    """Delete a session in which nothing was promised, and its place."""
    db.execute("DELETE FROM sessions WHERE channel = ?", (channel,))
    give_place_back(db, channel)


def unfinished(db: sqlite3.Connection) -> list[Entry]:
    """Return the sessions that are not over, and those that are over but still have a place."""
    rows = db.execute(
        "SELECT channel, record, is_over FROM sessions LEFT JOIN places USING (channel)"
        " WHERE is_over = 0 OR number IS NOT NULL ORDER BY sessions.rowid"
    )
    return [_entry(row) for row in rows]


def entry(db: sqlite3.Connection, channel: bytes) -> Entry | None:
    """Return the only session of a channel, over or not; None if there is none."""
    row = db.execute(
        "SELECT channel, record, is_over FROM sessions WHERE channel = ?", (channel,)
    ).fetchone()
    return None if row is None else _entry(row)


def latest_first(db: sqlite3.Connection) -> list[Entry]:
    """Return all sessions, the latest first."""
    rows = db.execute("SELECT channel, record, is_over FROM sessions ORDER BY rowid DESC")
    return [_entry(row) for row in rows]


def take_place(db: sqlite3.Connection, channel: bytes, most: int) -> int | None:
    """Return the number of the client's place, or take the first free one below ``most``.

    Return None if no place is free.
    """
    taken = dict(db.execute("SELECT channel, number FROM places"))
    if (mine := taken.get(channel)) is not None:
        return int(mine)
    numbers = set(taken.values())
    free = next((number for number in range(most) if number not in numbers), None)
    if free is not None:
        db.execute("INSERT INTO places (number, channel) VALUES (?, ?)", (free, channel))
    return free


def give_place_back(db: sqlite3.Connection, channel: bytes) -> None:
    """Free the place of a client that the engine does not have."""
    db.execute("DELETE FROM places WHERE channel = ?", (channel,))


def give_lost_places_back(db: sqlite3.Connection) -> None:
    """Free the places of clients whose session was not written down before a crash."""
    db.execute("DELETE FROM places WHERE channel NOT IN (SELECT channel FROM sessions)")


def _entry(row: tuple[bytes, bytes, int]) -> Entry:
    channel, record, is_over = row
    return Entry(channel, record, bool(is_over))
