"""The journal: what is written before what is done, and what is found after a crash."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from fs_tunnel.linux.journal import kinds, state
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal, original
from fs_wire.errors import SystemChangeError

ENDPOINTS = {"vpn.example.net:51820": "192.0.2.1:51820"}


class Host:
    """What there is to be changed: a few settings, and a record of what happened."""

    settings: ClassVar[dict[str, str]] = {}
    log: ClassVar[list[str]] = []
    broken: ClassVar[set[str]] = set()


@dataclass(frozen=True)
class Thing(Change):
    """Something that is there or not."""

    name: str

    def do(self) -> None:
        if self.name in Host.broken:
            raise SystemChangeError(f"{self.name} is broken; mend it")
        Host.log.append(f"+{self.name}")

    def undo(self) -> None:
        if self.name in Host.broken:
            raise SystemChangeError(f"{self.name} is broken; mend it")
        Host.log.append(f"-{self.name}")


@dataclass(frozen=True)
class Lasting(Thing):
    """One that a reboot does not take away."""

    survives_reboot: ClassVar[bool] = True


@dataclass(frozen=True)
class Setting(Change):
    """A value of the host, which every tunnel may set."""

    key: str
    value: str
    before: str | None = None

    @property
    def place(self) -> tuple[object, ...]:
        return ("Setting", self.key)

    def transition(self) -> tuple[str | None, str]:
        return self.before, self.value

    def prepared(self) -> "Setting":
        return Setting(self.key, self.value, Host.settings[self.key])

    def do(self) -> None:
        Host.settings[self.key] = self.value

    def undo(self) -> None:
        assert self.before is not None
        if Host.settings[self.key] == self.value:
            Host.settings[self.key] = self.before


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of our own, and a host with one setting."""
    folder = tmp_path / "state"
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(folder))
    for kind in (Thing, Lasting, Setting):
        monkeypatch.setitem(kinds.KINDS, kind.__name__, kind)
    Host.settings, Host.log, Host.broken = {"mode": "old"}, [], set()
    return folder


def begun(name: str, *changes: Change, settled: bool = True) -> Journal:
    journal = Journal(name)
    journal.begin("up", f"{name}.conf", ENDPOINTS)
    for change in changes:
        journal.ensure(change)
    if settled:
        journal.settle()
    return journal


def reboot(path: Path) -> None:
    """Let a journal be of an earlier boot."""
    header, *rest = path.read_text().split("\n")
    path.write_text("\n".join([json.dumps({**json.loads(header), "boot_id": "another"}), *rest]))


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


# Replacing.


def test_what_the_plan_does_not_name_is_dropped() -> None:
    journal = begun("alice", Thing("a"), Thing("b"), Thing("c"))
    journal.drop_others([Thing("b"), Thing("d")])
    assert Host.log[3:] == ["-c", "-a"]
    assert Journal("alice").changes == [Thing("b")]


def test_what_is_in_force_is_made_sure_of() -> None:
    journal = begun("alice", Thing("a"))
    assert not journal.ensure(Thing("a"))
    assert journal.ensure(Thing("b"))
    assert Host.log == ["+a", "+a", "+b"]
    assert Journal("alice").changes == [Thing("a"), Thing("b")]


def test_another_value_in_its_place_remembers_what_was_before_both() -> None:
    journal = begun("alice", Setting("mode", "first"), Thing("a"))
    journal.ensure(Setting("mode", "second"))
    assert Host.settings == {"mode": "second"}
    assert Journal("alice").changes == [Setting("mode", "second", "old"), Thing("a")]
    Journal("alice").take_all_back()
    assert Host.settings == {"mode": "old"}


@pytest.mark.parametrize("value", ["first", "second"])
def test_a_crash_while_a_value_is_replaced_is_undone(folder: Path, value: str) -> None:
    """Whether the host has the one or the other."""
    begun("alice", Setting("mode", "first"))
    with (folder / "alice.journal").open("a") as stream:
        stream.write(kinds.to_json(Setting("mode", "second", "old")) + "\n")
    Host.settings["mode"] = value
    Journal("alice").take_all_back()
    assert Host.settings == {"mode": "old"}


# Several tunnels.


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
@pytest.mark.parametrize("values", [("same", "same", "same"), ("one", "two", "three")])
def test_the_last_of_three_tunnels_restores_what_was_before_all(
    order: str, values: tuple[str, str, str]
) -> None:
    for name, value in zip("abc", values, strict=True):
        begun(name, Setting("mode", value))
    left = list("abc")
    for name in order:
        assert Host.settings["mode"] == values["abc".index(left[-1])]
        Journal(name).take_all_back()
        left.remove(name)
        assert original(("Setting", "mode")) == ("old" if left else None)
    assert Host.settings == {"mode": "old"}


def test_a_crash_after_an_inheritance_does_not_restore_under_the_heir() -> None:
    begun("alice", Setting("mode", "ours"))
    begun("bob", Setting("mode", "ours"))
    (change,) = Journal("alice").changes
    bob = Journal("bob")
    bob.changes = [Setting("mode", "ours", "old")]  # has inherited already
    bob.settle()
    Journal("alice").take_all_back()
    assert Host.settings == {"mode": "ours"}
    Journal("bob").take_all_back()
    assert Host.settings == {"mode": "old"}
    assert change == Setting("mode", "ours", "old")


def test_an_open_journal_learns_what_it_inherits() -> None:
    alice = begun("alice", Setting("mode", "one"))
    bob = begun("bob", Setting("mode", "two"))
    alice.take_all_back()
    bob.ensure(Thing("b"))
    bob.take_all_back()
    assert Host.settings == {"mode": "old"}


def test_the_lower_of_two_does_not_overrule_the_upper() -> None:
    alice = begun("alice", Setting("mode", "one"))
    begun("bob", Setting("mode", "two"))
    alice.ensure(Setting("mode", "one"))
    assert Host.settings == {"mode": "two"}
    alice.ensure(Setting("mode", "one again"))
    assert Host.settings == {"mode": "two"}
    Journal("bob").take_all_back()
    assert Host.settings == {"mode": "one again"}
    alice.take_all_back()
    assert Host.settings == {"mode": "old"}


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
