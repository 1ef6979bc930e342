# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The journal: it holds each change first, and a later run reads it after a crash."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from fs_tunnel.linux.journal import kinds, state
from fs_tunnel.linux.journal.journal import Journal, original
from fs_wire.errors import SystemChangeError
from tests.linux.journal.played import (
    ENDPOINTS,
    Host,
    Lasting,
    Setting,
    Thing,
    begun,
    reboot,
)

pytestmark = pytest.mark.usefixtures("folder")

# One tunnel.


def test_what_another_process_finds_is_what_was_done() -> None:
    begun("alice", Thing("a"), Thing("b"))
    found = Journal("alice")
    assert found.is_open
    assert found.is_settled
    assert found.changes == [Thing("a"), Thing("b")]
    assert found.header is not None
    assert (found.header.role, found.header.endpoints) == ("up", ENDPOINTS)
    assert Host.log == ["+a", "+b"]


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    begun("alice", Thing("a"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "alice.journal").stat().st_mode & 0o777 == 0o600


def test_changes_are_taken_back_latest_first_and_the_file_goes(folder: Path) -> None:
    begun("alice", Thing("a"), Thing("b"))
    Journal("alice").take_all_back()
    assert Host.log == ["+a", "+b", "-b", "-a"]
    assert not (folder / "alice.journal").exists()
    Journal("alice").take_all_back()
    assert len(Host.log) == 4


def test_while_all_is_taken_back_the_journal_says_so() -> None:
    journal = begun("alice", Thing("a"))
    Host.broken.add("a")
    with pytest.raises(SystemChangeError):
        journal.take_all_back()
    header = Journal("alice").header
    assert header is not None
    assert (header.is_ending, header.is_settled) == (True, False)
    Host.broken.clear()
    Journal("alice").begin("up", "alice.conf", {})
    header = Journal("alice").header
    assert header is not None
    assert not header.is_ending


def test_a_change_is_on_the_disk_before_it_is_made(folder: Path) -> None:
    @dataclass(frozen=True)
    class Looking(Thing):
        def do(self) -> None:
            last = (folder / "alice.journal").read_text().splitlines()[-1]
            Host.log.append(json.loads(last)["name"])

    begun("alice", Looking("a"))
    assert Host.log == ["a"]


def test_what_fails_half_way_can_be_taken_back() -> None:
    journal = begun("alice", Thing("a"), settled=False)
    Host.broken = {"b"}
    with pytest.raises(SystemChangeError, match="b is broken"):
        journal.ensure(Thing("b"))
    Host.broken = set()
    found = Journal("alice")
    assert not found.is_settled
    found.take_all_back()
    assert Host.log == ["+a", "-b", "-a"]


def test_one_failure_does_not_keep_the_others_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = begun("alice", Thing("a"), Thing("b"), Thing("c"))
    Host.broken = {"b"}
    with pytest.raises(SystemChangeError, match=r"b is broken.*repeat the command"):
        journal.take_all_back()
    assert Host.log[3:] == ["-c", "-a"]
    assert "b is broken" in caplog.text
    Host.broken = set()
    assert Journal("alice").changes == [Thing("b")]
    Journal("alice").take_all_back()
    assert Host.log[-1] == "-b"


def test_after_a_reboot_only_what_survived_it_is_taken_back(folder: Path) -> None:
    begun("alice", Thing("a"), Lasting("b"))
    reboot(folder / "alice.journal")
    found = Journal("alice")
    assert not found.may_resume("up")
    found.take_all_back()
    assert Host.log[2:] == ["-b"]


def test_what_a_reboot_took_away_holds_nothing(folder: Path) -> None:
    begun("alice", Setting("mode", "ours"))
    reboot(folder / "alice.journal")
    Host.settings["mode"] = "default"
    begun("bob", Setting("mode", "ours"))
    assert original(("Setting", "mode")) == "default"
    Journal("bob").take_all_back()
    assert Host.settings == {"mode": "default"}


def test_only_the_same_role_of_the_same_boot_is_resumed() -> None:
    begun("alice", Thing("a"))
    assert Journal("alice").may_resume("up")
    assert not Journal("alice").may_resume("serve")
    assert not Journal("bob").may_resume("up")


# Damage.


@pytest.mark.parametrize("length", [1, 10, 25])
def test_a_line_cut_short_was_never_made_and_unsettles(folder: Path, length: int) -> None:
    begun("alice", Thing("a"))
    with (folder / "alice.journal").open("a") as stream:
        stream.write(kinds.to_json(Thing("never made"))[:length])
    found = Journal("alice")
    assert found.changes == [Thing("a")]
    assert not found.is_settled
    found.begin("up", "alice.conf", ENDPOINTS)
    found.ensure(Thing("b"))
    assert Journal("alice").changes == [Thing("a"), Thing("b")]


@pytest.mark.parametrize(
    "line",
    [
        "\x00\x00\x00",
        "{}",
        "[]",
        "null",
        '{"change": "Thing"}',
        '{"change": "Nothing", "name": "x"}',
        '{"change": "Thing", "name": 5}',
        '{"change": "Thing", "name": "x", "more": 1}',
        '{"change": ["Thing"], "name": "x"}',
        "[" * 100_000,
    ],
)
def test_a_hostile_line_is_passed_over(
    folder: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun("alice", Thing("a"))
    with (folder / "alice.journal").open("a") as stream:
        stream.write(f"{line}\n{kinds.to_json(Thing('b'))}\n")
    found = Journal("alice")
    assert found.changes == [Thing("a"), Thing("b")]
    assert not found.is_settled
    assert "damaged" in caplog.text
    found.take_all_back()
    assert Host.log[1:] == ["-b", "-a"]


def test_bytes_that_are_no_text_are_passed_over(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun("alice", Thing("a"))
    with (folder / "alice.journal").open("ab") as stream:
        stream.write(b"\xff\xfe\xfd\n")
    assert Journal("alice").changes == [Thing("a")]
    assert caplog.records


@pytest.mark.parametrize("header", ["", "{", "[]", '{"role": "up"}', '{"role": 1, "source": 2}'])
def test_without_a_header_the_changes_are_still_taken_back(folder: Path, header: str) -> None:
    begun("alice", Thing("a"))
    path = folder / "alice.journal"
    path.write_text("\n".join([header, *path.read_text().split("\n")[1:]]))
    found = Journal("alice")
    assert found.is_open
    assert not found.is_settled
    assert not found.may_resume("up")
    found.take_all_back()
    assert Host.log == ["+a", "-a"]
    assert not path.exists()


def test_a_directory_that_others_may_write_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(SystemChangeError, match=r"written by others.*chmod 700"):
        begun("alice", Thing("a"))
    assert Host.log == []


# Locks.


def test_two_commands_on_one_tunnel_wait_for_each_other() -> None:
    with state.locked("alice"):
        with (
            pytest.raises(SystemChangeError, match=r"at work on alice; wait"),
            state.locked("alice", 0.0),
        ):
            raise AssertionError("both have it")
        with state.locked("bob"):
            pass
    with state.locked("alice"):
        pass


def test_a_users_command_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a command of ours, for another tunnel."""

    @dataclass(frozen=True)
    class Command(Thing):
        keeps_others_waiting: ClassVar[bool] = False

        def do(self) -> None:
            begun("bob", Thing("nested"))

        def undo(self) -> None:
            Journal("bob").take_all_back()

    monkeypatch.setitem(kinds.KINDS, "Command", Command)
    begun("alice", Command("hook"))
    Journal("alice").take_all_back()
    alice = begun("alice", Command("hook"))
    alice.drop_others([])
    assert Host.log == ["+nested", "-nested"] * 2


def test_messages_stay_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        begun("alice", Thing("a")).take_all_back()
    assert caplog.records == []
