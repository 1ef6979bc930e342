# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a full node keeps on disk: the latest records, and the history.

Notes wait in memory, and a thread writes them together, so that a slow disk delays no answer. The
index in memory is the truth. If the database is lost, only the history is lost.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Self, TypeAlias, TypeVar, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fs_net.errors import StoreFailed
from fs_net.fullnode import tables
from fs_net.fullnode.catalogue import PricePoint, Statistics
from fs_net.fullnode.live import Remembered
from fs_net.fullnode.uptime import BUCKET, DAY
from fs_wire.errors import UsageError

_KEPT = 90 * 24 * 3600 * 1000  # ms of history
_FORGET_EVERY = 3600 * 1000  # ms
_MOST_WAITING = 200_000  # rows of a table; if more wait, the oldest are lost
_MOST_READ = 20_000  # rows of one query
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}

T = TypeVar("T")
Args = TypeVarTuple("Args")
_Waiting: TypeAlias = dict[sa.Table, dict[tuple[Any, ...], dict[str, Any]]]


def parse_url(text: str) -> URL:
    """Parse ``sqlite:///path`` or ``postgresql://…``; UsageError for others, or for a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        url = URL.create("")
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise UsageError("no such kind of database; write sqlite:///path or postgresql://host/name")
    if url.password is not None:
        raise UsageError("other users can read a command line; put the password into ~/.pgpass")
    return url.set(drivername=driver)


class Store:
    """A ``live.Past`` inside ``async with``; raises StoreFailed if the database fails."""

    def __init__(self, url: URL, network: bytes) -> None:
        """``url`` comes from ``parse_url``, and ``network`` from ``records.network_id``."""
        self._name, self._network = url.render_as_string(), network.hex()
        self._engine = _engine(url)
        self._insert = sqlite.insert if url.drivername == "sqlite" else postgresql.insert
        self._threads = ThreadPoolExecutor(2, "store")
        self._writing = asyncio.Lock()
        self._waiting = _nothing()
        self._forgot_at = 0
        self.lost = 0  # rows that were dropped because too many waited

    async def __aenter__(self) -> Self:
        """Create missing tables; raises UsageError if the database belongs to another network."""
        try:
            await self._do(self._prepare)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        try:
            await self.flush()
        finally:
            self._close()

    def note_record(self, provider: bytes, sequence: int, raw: bytes, first_seen: int) -> None:
        row = {"provider": provider, "sequence": sequence, "raw": raw, "first_seen": first_seen}
        self._note(tables.records, row)

    def note_price(self, provider: bytes, price: PricePoint) -> None:
        amounts = {"per_gib": str(price.per_gib), "per_hour": str(price.per_hour)}
        self._note(tables.prices, {"provider": provider, "start": price.start, **amounts})

    def note_uptime(self, provider: bytes, day: int, shares: bytes) -> None:
        self._note(tables.uptimes, {"provider": provider, "day": day, "shares": shares})

    def note_statistics(self, statistics: Statistics) -> None:
        row = {"at": statistics.at, "said": json.dumps(asdict(statistics))}
        self._note(tables.statistics, row)

    async def flush(self, now: int | None = None) -> None:
        """Write waiting rows, and forget rows that are too old at ``now``, in ms.

        Rows whose write failed wait again.
        """
        async with self._writing:
            waiting, self._waiting = self._waiting, _nothing()
            try:
                await self._do(self._write, waiting, now)
            except StoreFailed:
                for table, rows in waiting.items():
                    self._waiting[table] = rows | self._waiting[table]
                raise

    async def remembered(self) -> list[Remembered]:
        """Return the records of earlier runs, for the gatherer to judge again."""
        query = sa.select(tables.records.c.raw, tables.records.c.first_seen)
        return [Remembered(raw, first_seen) for raw, first_seen in await self._read(query)]

    async def recent_uptimes(self, now: int) -> list[tuple[bytes, int, bytes]]:
        """Return provider, day and shares for the week before ``now``."""
        table = tables.uptimes
        week = now // (BUCKET * DAY) - 7
        query = sa.select(table.c.provider, table.c.day, table.c.shares).where(table.c.day >= week)
        return [tuple(row) for row in await self._read(query)]

    async def read_uptime(self, provider: bytes, first_day: int) -> dict[int, bytes]:
        table = tables.uptimes
        query = sa.select(table.c.day, table.c.shares).where(
            table.c.provider == provider, table.c.day >= first_day
        )
        return dict(map(tuple, await self._read(query)))

    async def read_prices(self, provider: bytes, since: int) -> list[PricePoint]:
        table = tables.prices
        before = sa.select(sa.func.max(table.c.start)).where(
            table.c.provider == provider, table.c.start <= since
        )
        query = (
            sa.select(table.c.start, table.c.per_gib, table.c.per_hour)
            .where(
                table.c.provider == provider,
                table.c.start >= sa.func.coalesce(before.scalar_subquery(), since),
            )
            .order_by(table.c.start.desc())
            .limit(_MOST_READ)
        )
        rows = await self._read(query)
        return [PricePoint(row[0], int(row[1]), int(row[2])) for row in reversed(rows)]

    async def read_statistics(self, since: int, step: int) -> list[Statistics]:
        table = tables.statistics
        last_of_each = (
            sa.select(sa.func.max(table.c.at))
            .where(table.c.at >= since)
            .group_by(table.c.at // sa.literal_column(str(step)))
        )
        query = sa.select(table.c.said).where(table.c.at.in_(last_of_each)).order_by(table.c.at)
        return [_statistics_of(row[0]) for row in await self._read(query)]

    def _note(self, table: sa.Table, row: dict[str, Any]) -> None:
        waiting = self._waiting[table]
        key = tuple(row[column.name] for column in table.primary_key)
        if key not in waiting and len(waiting) >= _MOST_WAITING:
            del waiting[next(iter(waiting))]
            self.lost += 1
        waiting[key] = row

    async def _read(self, query: sa.Select[Any]) -> Sequence[Any]:
        def read() -> Sequence[Any]:
            with self._engine.connect() as connection:
                return connection.execute(query).fetchall()

        return await self._do(read)

    async def _do(self, work: Callable[[*Args], T], *args: *Args) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work, *args)
        except SQLAlchemyError as error:
            # Only its class is shown, because its text quotes the data.
            kind = type(getattr(error, "orig", None) or error).__name__
            raise StoreFailed(
                f"the database {self._name} fails ({kind}); check that it runs and has disk space"
            ) from None

    def _prepare(self) -> None:
        tables.metadata.create_all(self._engine)
        wanted = {"schema": tables.SCHEMA, "network": self._network}
        with self._engine.begin() as connection:
            found = {row[0]: row[1] for row in connection.execute(sa.select(tables.about))}
            if not found:
                rows = [{"name": name, "value": value} for name, value in wanted.items()]
                connection.execute(sa.insert(tables.about), rows)
            elif found != wanted:
                raise UsageError(
                    f"the database {self._name} belongs to another market or version; "
                    "name another database with --database"
                )

    def _write(self, waiting: _Waiting, now: int | None) -> None:
        with self._engine.begin() as connection:
            for table, rows in waiting.items():
                if rows:
                    connection.execute(self._upsert(table), list(rows.values()))
            if now is not None and now - self._forgot_at >= _FORGET_EVERY:
                _forget(connection, now - _KEPT)
                self._forgot_at = now

    def _upsert(self, table: sa.Table) -> sa.Insert:
        """Replace rows with the same key, but keep their ``first_seen``."""
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {
            column.name: insert.excluded[column.name]
            for column in table.columns
            if column.name not in keys and column.name != "first_seen"
        }
        return insert.on_conflict_do_update(index_elements=keys, set_=changed)

    def _close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()


def _nothing() -> _Waiting:
    return {table: {} for table in tables.metadata.sorted_tables if table is not tables.about}


def _engine(url: URL) -> Engine:
    engine = sa.create_engine(url)
    if url.drivername == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

    return engine


def _forget(connection: Connection, before: int) -> None:
    """Delete what is older than ``before``, in ms; keep each provider's valid price."""
    records, prices, later = tables.records, tables.prices, tables.prices.alias()
    gone = [
        sa.delete(records).where(records.c.sequence < before),
        sa.delete(tables.uptimes).where(tables.uptimes.c.day < before // (BUCKET * DAY)),
        sa.delete(tables.statistics).where(tables.statistics.c.at < before),
        sa.delete(prices).where(prices.c.provider.not_in(sa.select(records.c.provider))),
        sa.delete(prices).where(
            sa.exists().where(
                later.c.provider == prices.c.provider,
                later.c.start > prices.c.start,
                later.c.start <= before,
            )
        ),
    ]
    for each in gone:
        connection.execute(each)


def _statistics_of(text: str) -> Statistics:
    said = json.loads(text)
    countries = tuple((str(name), int(count)) for name, count in said.pop("countries"))
    return Statistics(**said, countries=countries)
