"""The books on the disk: SQLite, and nothing is believed to be in them before it is on the disk.

All work goes through one thread. What waits there is committed together, so that a hundred vouchers
cost one wait for the disk; each piece of work stands in a savepoint, and fails alone.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from fs_market.chain import transactions
from fs_market.errors import JournalError
from fs_market.money import tasks, voucher_book
from fs_market.session import session_book

VERSION = 1
_BUSY = 10.0  # seconds to wait for another process
_LARGEST_COMMIT = 512  # pieces of work
_APPLICATION_ID = 0x46534A31  # "FSJ1": what file(1) and we know it by
T = TypeVar("T")
_Work = tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any], asyncio.AbstractEventLoop]


class Journal:
    """The journal of one chain, from ``async with`` on; several processes may share it.

    JournalError where the file cannot be used, or belongs to another chain.
    """

    def __init__(self, path: Path, chain: bytes) -> None:
        """``chain`` is the hash of its first block."""
        self._path, self._chain = path, chain
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)

    async def __aenter__(self) -> Self:
        self._db = await asyncio.to_thread(_open, self._path, self._chain)
        self._thread.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have ``work`` done in a transaction; on return it is on the disk.

        Whatever ``work`` raises undoes it and is raised here. It may be done although the caller is
        cancelled.
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
            raise  # the disk is full or fails: nothing of this commit holds
        except Exception as error:  # noqa: BLE001 - it is raised where the work came from
            self._db.execute("ROLLBACK TO work")
            self._db.execute("RELEASE work")
            return None, error
        self._db.execute("RELEASE work")
        return result, None


def _open(path: Path, chain: bytes) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It is made before SQLite would, which knows no mode; -wal and -shm take it over.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise _failed(path, error) from None
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        _prepare(db, path, chain)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        db.close()
        raise _failed(path, error) from None
    except JournalError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, chain: bytes) -> None:
    """Make the tables of an empty file, or look whether they are ours."""
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0:
        for statement in _statements():
            db.execute(statement)
        db.execute("INSERT INTO chain VALUES (?)", (chain,))
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        return
    if db.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
        raise JournalError(f"{path} is no journal; name another file")
    if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
        raise JournalError(f"{path} is of another version of this program; use that version")
    if db.execute("SELECT genesis FROM chain").fetchone() != (chain,):
        raise JournalError(f"{path} is the journal of another chain; name another file")


def _statements() -> list[str]:
    schema = "CREATE TABLE chain (genesis BLOB NOT NULL) STRICT;"
    schema += transactions.SCHEMA + voucher_book.SCHEMA + tasks.SCHEMA + session_book.SCHEMA
    return [statement for statement in schema.split(";") if statement.strip()]


def _resolve(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.cancelled():
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


def _failed(path: Path, error: Exception) -> JournalError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return JournalError(f"{path}: {reason}; see that the disk has room and the file is yours")
