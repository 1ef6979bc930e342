# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The journal is on disk when a commit returns, and it never contradicts itself."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.chain import transactions
from fs_market.chain.answers import Receipt
from fs_market.chain.fees import Fees
from fs_market.chain.transactions import Call, Outcome, Signed
from fs_market.core.money.units import MAX_AMOUNT
from fs_market.core.wire.channels import Terms, Voucher
from fs_market.core.wire.ethereum import Address
from fs_market.errors import JournalError
from fs_market.journal import Journal
from fs_market.money import tasks, voucher_book
from fs_market.money.voucher_book import Side

CHAIN, CHANNEL = b"\1" * 32, b"\2" * 32
ALICE, BOB = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
TERMS = Terms(ALICE, BOB, ALICE, 3600, 2**40, b"\3" * 32, b"\4" * 32)


def signed(nonce: int) -> Signed:
    return Signed(b"raw", os.urandom(31) + bytes([nonce % 256]), Fees(2, 1))


def receipt(*, has_succeeded: bool) -> Receipt:
    return Receipt(b"\5" * 32, 1, b"\6" * 32, has_succeeded, 21_000, 1, None, ())


def promise(amount: int, mark: int = 1) -> Voucher:
    return Voucher(CHANNEL, amount, bytes([mark]) * 65)


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with Journal(tmp_path / "deep" / "j", CHAIN) as journal:
            await journal.do(lambda db: voucher_book.add_channel(db, CHANNEL, Side.PAYEE, TERMS))
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").iterdir()}
            assert modes == {0o600}
            settings = await journal.do(
                lambda db: [
                    db.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("journal_mode", "synchronous", "foreign_keys")
                ]
            )
            assert settings == ["wal", 2, 1]

    before = os.umask(0)
    try:
        asyncio.run(run())
    finally:
        os.umask(before)


def test_another_chain_file_or_version_is_refused(tmp_path: Path) -> None:
    async def reopen(path: Path, chain: bytes = CHAIN) -> None:
        async with Journal(path, chain):
            pass

    path = tmp_path / "j"
    asyncio.run(reopen(path))
    asyncio.run(reopen(path))
    with pytest.raises(JournalError, match="of another chain"):
        asyncio.run(reopen(path, b"\7" * 32))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="another version of this program"):
        asyncio.run(reopen(path))
    foreign = tmp_path / "foreign"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE something (x)")
    db.close()
    with pytest.raises(JournalError, match="is not a journal"):
        asyncio.run(reopen(foreign))
    noise = tmp_path / "noise"
    noise.write_bytes(os.urandom(5000))
    with pytest.raises(JournalError, match="check that the disk"):
        asyncio.run(reopen(noise))
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(JournalError):
        asyncio.run(reopen(link))


def test_work_fails_alone(tmp_path: Path) -> None:
    """In one commit with others, the failed work is undone, and the other work is kept."""

    def fail(db: sqlite3.Connection) -> None:
        voucher_book.note_voucher(db, promise(9))
        raise ValueError("no")

    async def run() -> None:
        async with Journal(tmp_path / "j", CHAIN) as journal:
            await journal.do(lambda db: voucher_book.add_channel(db, CHANNEL, Side.PAYEE, TERMS))
            results = await asyncio.gather(
                journal.do(lambda db: voucher_book.note_voucher(db, promise(5))),
                journal.do(fail),
                journal.do(lambda db: voucher_book.note_voucher(db, promise(7))),
                return_exceptions=True,
            )
            assert [type(each) for each in results] == [type(None), ValueError, type(None)]
        async with Journal(tmp_path / "j", CHAIN) as journal:
            account = await journal.do(lambda db: voucher_book.account(db, CHANNEL))
            assert account is not None
            assert account.promised == 7

    asyncio.run(run())


def test_many_wait_for_the_disk_together(tmp_path: Path) -> None:
    async def run() -> None:
        async with Journal(tmp_path / "j", CHAIN) as journal:
            commits = 0
            commit = journal._commit

            def counted(batch: list[object]) -> None:
                nonlocal commits
                commits += 1
                commit(batch)  # type: ignore[arg-type]

            journal._commit = counted  # type: ignore[method-assign,assignment]
            await asyncio.gather(*(journal.do(lambda db: db.total_changes) for _ in range(500)))
            assert commits < 100

    asyncio.run(run())


@given(st.lists(st.tuples(st.integers(0, MAX_AMOUNT), st.integers(1, 2)), max_size=10))
def test_a_voucher_is_never_replaced_by_less(promises: list[tuple[int, int]]) -> None:
    db = sqlite3.connect(":memory:")
    db.executescript(voucher_book.SCHEMA)
    voucher_book.add_channel(db, CHANNEL, Side.PAYEE, TERMS)
    best: Voucher | None = None
    for amount, mark in promises:
        offered = promise(amount, mark)
        if best is None or amount > best.cumulative or offered == best:
            voucher_book.note_voucher(db, offered)
            best = offered
        else:
            with pytest.raises(JournalError, match="sign a higher one"):
                voucher_book.note_voucher(db, offered)
    (account,) = voucher_book.open_accounts(db, Side.PAYEE)
    assert account.voucher == best
    assert account.terms == TERMS
    assert voucher_book.open_accounts(db, Side.PAYER) == []
    voucher_book.note_closed(db, CHANNEL)
    assert voucher_book.open_accounts(db, Side.PAYEE) == []
    db.close()


STEPS = st.sampled_from(["new", "again", "succeed", "fail", "displace", "restart"])


@given(st.lists(st.tuples(STEPS, st.integers(0, 3)), max_size=30), st.integers(0, 5))
def test_an_intent_lives_once_and_a_nonce_is_used_once(
    steps: list[tuple[str, int]], known_to_chain: int
) -> None:
    db = sqlite3.connect(":memory:")
    db.executescript(transactions.SCHEMA)
    nonces: set[int] = set()
    succeeded: set[str] = set()
    for step, number in steps:
        intent = f"intent {number}"
        living = transactions.live(db, ALICE, intent)
        if step in ("new", "again"):
            entry = transactions.reserve(
                db, ALICE, intent, Call(BOB), 21_000, known_to_chain, signed
            )
            if living is not None:
                assert entry == living
            else:
                assert intent not in succeeded
                assert entry.nonce not in nonces
                assert entry.nonce >= known_to_chain
                nonces.add(entry.nonce)
        elif living is not None and living.outcome is None:
            if step == "succeed":
                transactions.finish(db, living.id, receipt(has_succeeded=True))
                succeeded.add(intent)
            elif step == "fail":
                transactions.finish(db, living.id, receipt(has_succeeded=False))
            elif step == "displace":
                transactions.finish(db, living.id, None)
    waiting = [entry.nonce for entry in transactions.unfinished(db, ALICE)]
    assert waiting == sorted(waiting)
    for intent in succeeded:
        found = transactions.live(db, ALICE, intent)
        assert found is not None
        assert found.outcome is Outcome.SUCCEEDED
    assert transactions.unfinished(db, BOB) == []
    db.close()


def test_what_was_asked_for_waits_until_it_is_done() -> None:
    db = sqlite3.connect(":memory:")
    db.executescript(tasks.SCHEMA)
    first = tasks.Task("1", "deposit", {"amount": "5"})
    second = tasks.Task("2", "withdraw", {"amount": "5", "to": str(BOB)})
    for task in (first, second):
        tasks.add(db, ALICE.raw, task)
    assert tasks.waiting(db, ALICE.raw) == [first, second]
    assert tasks.waiting(db, BOB.raw) == []
    tasks.done(db, first)
    assert tasks.waiting(db, ALICE.raw) == [second]
    db.close()
