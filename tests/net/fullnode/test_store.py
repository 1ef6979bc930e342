# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a full node stores, in SQLite and in PostgreSQL alike."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fs_net.errors import StoreFailed
from fs_net.fullnode import store as store_module
from fs_net.fullnode import tables
from fs_net.fullnode.catalogue import PricePoint, Statistics
from fs_net.fullnode.live import Remembered
from fs_net.fullnode.store import Store, parse_url
from fs_net.fullnode.uptime import BUCKET, DAY
from fs_wire.errors import UsageError
from tests.net.fullnode.databases import postgresql
from tests.net.world import HOUR, NETWORK, NOW

BOB, CAROL = bytes([1]) * 20, bytes([2]) * 20
ONE_DAY = DAY * BUCKET  # ms
MOST = 2**96 - 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store'}"
    url = str(request.getfixturevalue("cluster"))
    engine = sa.create_engine(parse_url(url))
    tables.metadata.drop_all(engine)
    engine.dispose()
    return url


def run(database: str, *scenes: Callable[[Store], Awaitable[None]]) -> None:
    """Run each scene with the database that the previous scene left."""

    async def play() -> None:
        for scene in scenes:
            async with Store(parse_url(database), NETWORK) as store:
                await scene(store)

    asyncio.run(play())


def statistics(at: int, stake: int = MOST) -> Statistics:
    return Statistics(at, 3, 2, 50, 7, stake, MOST, None, (("DE", 2), ("FR", 1)))


def test_what_was_noted_is_there_in_the_next_run(database: str) -> None:
    day = NOW // ONE_DAY

    async def first(store: Store) -> None:
        store.note_record(BOB, NOW, b"first", NOW)
        store.note_record(BOB, NOW + 1, b"later", NOW + 1)
        store.note_price(BOB, PricePoint(NOW, MOST, 0))
        store.note_uptime(BOB, day, bytes(range(DAY)))
        store.note_statistics(statistics(NOW))
        await store.flush(NOW)
        store.note_record(BOB, NOW + 2, b"latest", NOW + 2)

    async def second(store: Store) -> None:
        assert await store.remembered() == [Remembered(b"latest", NOW + 1)]
        assert await store.read_prices(BOB, 0) == [PricePoint(NOW, MOST, 0)]
        assert await store.read_uptime(BOB, day) == {day: bytes(range(DAY))}
        assert await store.read_uptime(BOB, day + 1) == {}
        assert await store.recent_uptimes(NOW + ONE_DAY) == [(BOB, day, bytes(range(DAY)))]
        assert await store.recent_uptimes(NOW + 9 * ONE_DAY) == []
        assert await store.read_statistics(0, HOUR) == [statistics(NOW)]

    run(database, first, second)


def test_a_price_is_told_with_the_one_that_held(database: str) -> None:
    async def scene(store: Store) -> None:
        prices = [PricePoint(NOW + each * HOUR, each, each) for each in range(5)]
        for each in prices:
            store.note_price(BOB, each)
        store.note_price(CAROL, PricePoint(NOW, 9, 9))
        await store.flush()
        assert await store.read_prices(BOB, 0) == prices
        assert await store.read_prices(BOB, NOW + 2 * HOUR) == prices[2:]
        assert await store.read_prices(BOB, NOW + 2 * HOUR + 1) == prices[2:]
        assert await store.read_prices(BOB, NOW + 99 * HOUR) == prices[4:]
        assert await store.read_prices(bytes(20), 0) == []

    run(database, scene)


def test_of_each_interval_the_last_statistics_are_told(database: str) -> None:
    async def scene(store: Store) -> None:
        start = NOW - NOW % HOUR
        for each in range(8):
            store.note_statistics(statistics(start + each * HOUR // 4, each))
        await store.flush()
        told = await store.read_statistics(start, HOUR)
        assert [each.stake for each in told] == [3, 7]
        told = await store.read_statistics(start + HOUR, HOUR // 2)
        assert [each.stake for each in told] == [5, 7]

    run(database, scene)


def test_history_is_forgotten_and_what_holds_is_not(database: str) -> None:
    """The start of a price that is still valid stays, however old it is."""

    async def scene(store: Store) -> None:
        old, day = NOW - 100 * ONE_DAY, NOW // ONE_DAY
        store.note_record(BOB, NOW, b"bob", old)
        store.note_record(CAROL, old, b"carol", old)
        for start, price in ((old - HOUR, 1), (old, 2)):
            store.note_price(BOB, PricePoint(start, price, price))
            store.note_price(CAROL, PricePoint(start, price, price))
        for when in (day - 100, day):
            store.note_uptime(BOB, when, bytes(DAY))
        store.note_statistics(statistics(old))
        store.note_statistics(statistics(NOW))
        await store.flush(NOW)
        assert await store.remembered() == [Remembered(b"bob", old)]
        assert await store.read_prices(BOB, 0) == [PricePoint(old, 2, 2)]
        assert await store.read_prices(CAROL, 0) == []
        assert list(await store.read_uptime(BOB, 0)) == [day]
        assert [each.at for each in await store.read_statistics(0, HOUR)] == [NOW]

    run(database, scene)


def test_a_database_is_of_one_network(database: str) -> None:
    async def scene(store: Store) -> None:
        store.note_record(BOB, NOW, b"bob", NOW)

    async def another() -> None:
        async with Store(parse_url(database), bytes(32)):
            raise AssertionError("opened")

    run(database, scene)
    with pytest.raises(UsageError, match="another market"):
        asyncio.run(another())


def test_what_could_not_be_written_waits(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(store: Store) -> None:
        store.note_record(BOB, NOW, b"secret price", NOW)
        with monkeypatch.context() as broken:
            broken.setattr(store, "_upsert", lambda _: sa.text("insert into nowhere values (1)"))
            with pytest.raises(StoreFailed, match="fails") as failure:
                await store.flush()
            assert "secret" not in str(failure.value)
        store.note_record(BOB, NOW + 1, b"later", NOW)
        store.note_record(CAROL, NOW, b"carol", NOW)
        await store.flush()
        assert {each.raw for each in await store.remembered()} == {b"later", b"carol"}

    run(database, scene)


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MOST_WAITING", 10)

    async def scene(store: Store) -> None:
        for number in range(25):
            store.note_record(number.to_bytes(20, "big"), NOW, b"", NOW)
        assert store.lost == 15
        await store.flush()
        assert len(await store.remembered()) == 10

    run(f"sqlite:///{tmp_path / 'store'}", scene)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/name", "sqlite+aiosqlite:///x", "postgresql+pg8000://h/n"]
)
def test_no_other_database_is_taken(url: str) -> None:
    with pytest.raises(UsageError, match="no such kind of database"):
        parse_url(url)


def test_a_password_does_not_stand_on_a_command_line() -> None:
    with pytest.raises(UsageError, match="pgpass") as failure:
        parse_url("postgresql://bob:hunter2@host/name")
    assert "hunter2" not in str(failure.value)


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    async def nothing(_: Store) -> None: ...

    with pytest.raises(StoreFailed, match=r"no-such-folder.*check"):
        run(f"sqlite:///{tmp_path}/no-such-folder/store", nothing)
    with pytest.raises(StoreFailed, match="check that it runs"):
        run(f"postgresql://bob@/name?host={tmp_path}", nothing)
