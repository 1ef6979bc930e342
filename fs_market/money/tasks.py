"""What a user asked for in the journal, where it takes several transactions: it is resumed by name.

Functions take the connection of a transaction of ``journal.Journal``.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

SCHEMA = """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    owner BLOB NOT NULL CHECK (length(owner) = 20),
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0 CHECK (is_done IN (0, 1))
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Task:
    """``id`` is random and part of its transactions' intents; ``detail`` has its arguments."""

    id: str
    kind: str
    detail: Mapping[str, str]


def add(db: sqlite3.Connection, owner: bytes, task: Task) -> None:
    db.execute(
        "INSERT INTO tasks (id, owner, kind, detail) VALUES (?, ?, ?, ?)",
        (task.id, owner, task.kind, json.dumps(dict(task.detail))),
    )


def done(db: sqlite3.Connection, task: Task) -> None:
    """All of its transactions are final, or it was given up."""
    db.execute("UPDATE tasks SET is_done = 1 WHERE id = ?", (task.id,))


def waiting(db: sqlite3.Connection, owner: bytes) -> list[Task]:
    """The tasks of an account that did not come to their end, oldest first."""
    rows = db.execute(
        "SELECT id, kind, detail FROM tasks WHERE owner = ? AND is_done = 0 ORDER BY rowid",
        (owner,),
    ).fetchall()
    return [Task(number, kind, json.loads(detail)) for number, kind, detail in rows]
