# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""SQLite behind one thread: a piece of work is done when its changes are on the disk.

The thread commits all waiting work together, so that a hundred vouchers cost one wait for the disk.
Each piece of work has a savepoint of its own, and fails alone.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from fs_market.errors import JournalError

VERSION = 1
_BUSY = 10.0  # seconds to wait for another process
_LARGEST_COMMIT = 512  # pieces of work in one commit
_APPLICATION_ID = 0x46534A31  # "FSJ1": file(1) and this program know the file by it
_CHAIN = "CREATE TABLE chain (genesis BLOB NOT NULL) STRICT;"
T = TypeVar("T")
_Work = tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]


class Database:
    """A file of tables for one chain; use it in ``async with``.

    Several processes may share the file.  ``async with`` raises JournalError if the file cannot be
    used, or belongs to another chain.
    """

    def __init__(self, path: Path, chain: bytes, tables: str) -> None:
        """``chain`` is the hash of the chain's first block; ``tables`` are statements of SQL."""
        self._path, self._chain, self._tables = path, chain, tables
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)

    async def __aenter__(self) -> Self:
        self._db = await asyncio.to_thread(_open, self._path, self._chain, self._tables)
        self._thread.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction, and return its result when it is on the disk.

        If ``work`` raises an error, its changes are undone, and the error is raised here.  If the
        caller is cancelled, the work may be done all the same.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.put((work, done, loop))
        return await done

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < _LARGEST_COMMIT and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    self._waiting.put(None)
                    break
                batch.append(following)
            self._commit(batch)

    def _commit(self, batch: list[_Work]) -> None:
        results: list[tuple[Any, BaseException | None]] = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [self._attempt(work) for work, _, _ in batch]
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            results = [(None, _failed(self._path, error))] * len(batch)
        for (_, done, loop), result in zip(batch, results, strict=True):
            loop.call_soon_threadsafe(_resolve, done, *result)

    def _attempt(self, work: Callable[[sqlite3.Connection], Any]) -> tuple[Any, Exception | None]:
        self._db.execute("SAVEPOINT work")
        try:
            result = work(self._db)
        except sqlite3.OperationalError:
            raise  # the disk is full or fails: the whole commit is undone
        except Exception as error:  # noqa: BLE001 - ``do`` raises it
            self._db.execute("ROLLBACK TO work")
            self._db.execute("RELEASE work")
            return None, error
        self._db.execute("RELEASE work")
        return result, None


def _open(path: Path, chain: bytes, tables: str) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would make the file with another mode; its -wal and -shm files copy this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise _failed(path, error) from None
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        _prepare(db, path, chain, tables)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        db.close()
        raise _failed(path, error) from None
    except JournalError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, chain: bytes, tables: str) -> None:
    """Make the tables in an empty file; otherwise check that the file is ours."""
    (count,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if count == 0:
        for statement in (_CHAIN + tables).split(";"):
            db.execute(statement)
        db.execute("INSERT INTO chain VALUES (?)", (chain,))
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        return
    if db.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
        raise JournalError(f"{path} is not a journal; name another file")
    if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
        raise JournalError(f"another version of this program made {path}; use that version")
    if db.execute("SELECT genesis FROM chain").fetchone() != (chain,):
        raise JournalError(f"{path} is the journal of another chain; name another file")


def _resolve(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


def _failed(path: Path, error: Exception) -> JournalError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return JournalError(
        f"{path}: {reason}; check that the disk has room and that the file is yours"
    )
