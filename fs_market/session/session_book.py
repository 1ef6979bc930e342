"""Sessions in the journal: the record from which each goes on after a crash.

Functions take the connection of a transaction of ``journal.Journal``.
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
    """A session; ``record`` is of ``core.records``, by the side of the journal's owner."""

    channel: bytes
    record: bytes
    is_over: bool


def put(db: sqlite3.Connection, channel: bytes, record: bytes, *, is_over: bool) -> None:
    """Replace what is kept of a session."""
    db.execute(
        "INSERT INTO sessions (channel, record, is_over) VALUES (?, ?, ?)"
        " ON CONFLICT (channel) DO UPDATE SET record = excluded.record, is_over = excluded.is_over",
        (channel, record, is_over),
    )


def drop(db: sqlite3.Connection, channel: bytes) -> None:
    """Forget a session in which nothing was promised."""
    db.execute("DELETE FROM sessions WHERE channel = ?", (channel,))
    give_place_back(db, channel)


def unfinished(db: sqlite3.Connection) -> list[Entry]:
    """What is to be gone on with, or cleared away: not over, or over with a place."""
    rows = db.execute(
        "SELECT channel, record, is_over FROM sessions LEFT JOIN places USING (channel)"
        " WHERE is_over = 0 OR number IS NOT NULL ORDER BY sessions.rowid"
    )
    return [Entry(channel, record, bool(is_over)) for channel, record, is_over in rows]


def entry(db: sqlite3.Connection, channel: bytes) -> Entry | None:
    """The session of a channel; it has one only, over or not."""
    row = db.execute(
        "SELECT channel, record, is_over FROM sessions WHERE channel = ?", (channel,)
    ).fetchone()
    return _entry(row)


def latest_first(db: sqlite3.Connection) -> list[Entry]:
    """All sessions, the one that was begun last before the others."""
    rows = db.execute("SELECT channel, record, is_over FROM sessions ORDER BY rowid DESC")
    return [Entry(channel, record, bool(is_over)) for channel, record, is_over in rows]


def take_place(db: sqlite3.Connection, channel: bytes, most: int) -> int | None:
    """The place that a client has, or the first that is free below ``most``; None for none."""
    taken = dict(db.execute("SELECT channel, number FROM places"))
    if (mine := taken.get(channel)) is not None:
        return int(mine)
    numbers = set(taken.values())
    free = next((number for number in range(most) if number not in numbers), None)
    if free is not None:
        db.execute("INSERT INTO places (number, channel) VALUES (?, ?)", (free, channel))
    return free


def give_place_back(db: sqlite3.Connection, channel: bytes) -> None:
    """The client is out of the engine, or never was in it."""
    db.execute("DELETE FROM places WHERE channel = ?", (channel,))


def give_lost_places_back(db: sqlite3.Connection) -> None:
    """Those of clients whose session was not written down before a crash."""
    db.execute("DELETE FROM places WHERE channel NOT IN (SELECT channel FROM sessions)")


def _entry(row: tuple[bytes, bytes, int] | None) -> Entry | None:
    return None if row is None else Entry(row[0], row[1], bool(row[2]))
