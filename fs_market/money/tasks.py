# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tasks in the journal: wishes of a user that take several transactions.

The functions take the connection of ``database.Database.do``.
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
    """A wish of a user; ``detail`` has its arguments.

    ``id`` is random, and part of the intents of the task's transactions.
    """

    id: str
    kind: str
    detail: Mapping[str, str]


def add(db: sqlite3.Connection, owner: bytes, task: Task) -> None:
    """Write down a task before its first transaction; ``owner`` is an address of 20 bytes."""
    db.execute(
        "INSERT INTO tasks (id, owner, kind, detail) VALUES (?, ?, ?, ?)",
        (task.id, owner, task.kind, json.dumps(dict(task.detail))),
    )


def done(db: sqlite3.Connection, task: Task) -> None:
    """Note that all of a task's transactions are final, or that the task was given up."""
    db.execute("UPDATE tasks SET is_done = 1 WHERE id = ?", (task.id,))


def waiting(db: sqlite3.Connection, owner: bytes) -> list[Task]:
    """Return the unfinished tasks of an account, oldest first."""
    rows = db.execute(
        "SELECT id, kind, detail FROM tasks WHERE owner = ? AND is_done = 0 ORDER BY rowid",
        (owner,),
    ).fetchall()
    return [Task(number, kind, json.loads(detail)) for number, kind, detail in rows]
