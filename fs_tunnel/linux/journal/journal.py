# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A tunnel's journal: it holds each change before it is made, so that a crash can be undone.

Each change is one JSON line, which is on the disk before the change is made.  If a crash cut a line
short, its change was never made.  The first line names the boot and the role of the tunnel.  After
a reboot, only those changes are undone that survive one.  Changes are under way between ``begin``
and ``settle``: a journal that is found in that state was left by a crash.  The journal also says
whether all its changes are being undone.

Some changes have a place that all tunnels share, such as a kernel parameter.  A later tunnel may
find there the value of an earlier one.  If the earlier tunnel goes first, the later one inherits
the value from before both.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.kinds import from_json, to_json
from fs_tunnel.linux.journal.state import host_locked, state_directory
from fs_wire.errors import FlowShieldError, SystemChangeError

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def journalled() -> list[str]:
    """The names of the tunnels that have a journal."""
    return [name for name in _all() if "@" not in name]


def _all() -> list[str]:
    """The names of journals: tunnels, and the splits of one, NAME@inside and NAME@outside."""
    found = state_directory().glob("*.journal")
    return sorted(path.name.removesuffix(".journal") for path in found)


def original(place: tuple[object, ...]) -> str | None:
    """The value of a shared place before any tunnel changed it; None if none did."""
    found = [
        transition
        for name in _all()
        for change in Journal(name).in_force()
        if change.place == place and (transition := change.transition()) is not None
    ]
    return next((before for before, after in found if before != after), None)


@dataclass(frozen=True, slots=True)
class Header:
    """A journal's first line: ``role`` is up or serve; ``endpoints`` are addresses by name."""

    role: str
    source: str
    boot_id: str
    endpoints: dict[str, str]
    is_settled: bool
    is_ending: bool = False


class Journal:
    """The changes of one tunnel that are in force, oldest first.

    Every method raises SystemChangeError if the files cannot be read or written.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._path = state_directory() / f"{name}.journal"
        self._inode: int | None = None
        self.header: Header | None = None
        self.changes: list[Change] = []
        self.is_settled = False
        self._refresh()

    @property
    def is_open(self) -> bool:
        """Whether there is anything to undo."""
        return self._inode is not None

    def in_force(self) -> list[Change]:
        """The changes that a reboot has not taken away."""
        rebooted = self.header is not None and self.header.boot_id != _boot_id()
        return [change for change in self.changes if not rebooted or change.survives_reboot]

    def may_resume(self, role: str) -> bool:
        """Whether the changes are of this boot and this role, so that we can build on them."""
        return (
            self.header is not None
            and self.header.role == role
            and self.header.boot_id == _boot_id()
        )

    def begin(self, role: str, source: str, endpoints: Mapping[str, str]) -> None:
        """Start to make changes, on top of those in force."""
        with self._writing():
            self.header = Header(role, source, _boot_id(), dict(endpoints), is_settled=False)
            self.is_settled = False
            self._rewrite()

    def settle(self) -> None:
        """Note that all changes were made."""
        with self._writing():
            assert self.header is not None
            self.header = replace(self.header, is_settled=True)
            self.is_settled = True
            self._rewrite()

    def ensure(self, change: Change) -> bool:
        """Have a change in force; False if it was already, and was only made sure of.

        The journal holds it before it is made. It replaces another one in its place, without undo.
        """
        old = next((each for each in self.changes if each.place == change.place), None)
        if old is None:
            self._make(change)
            return True
        if old.identity == change.identity:
            self._make_again(old)
        else:
            self._make_instead(old, change)
        return False

    def drop_others(self, plan: Sequence[Change]) -> None:
        """Undo, latest first, the changes whose place ``plan`` does not name."""
        places = {change.place for change in plan}
        for change in reversed(self.changes.copy()):
            if change.place not in places:
                self.take_back(change)

    def take_back(self, change: Change) -> None:
        """Undo one change, then strike it out."""
        self._undo(change)
        with self._writing():
            self.changes.remove(self._current(change))
            self._rewrite()

    def take_all_back(self) -> None:
        """Undo all changes, latest first, and remove the journal.

        Goes on past a failure; then SystemChangeError names the first, and the journal keeps what
        could not be undone.
        """
        if not self.is_open:
            return
        # Even if the disk is full, all changes can be undone.
        with suppress(SystemChangeError):
            self._note_ending()
        failures: list[tuple[Change, FlowShieldError]] = []
        for change in reversed(self.in_force()):
            try:
                self._undo(change)
            except FlowShieldError as error:
                log.error("%s", error)
                failures.insert(0, (change, error))
        with self._writing():
            if failures:
                self.changes = [self._current(change) for change, _ in failures]
                self._rewrite()
                raise SystemChangeError(
                    f"not all could be undone ({failures[-1][1]}); repeat the command to try again"
                )
            self._path.unlink(missing_ok=True)
            self._inode, self.header, self.changes = None, None, []

    def _note_ending(self) -> None:
        with self._writing():
            if self.header is not None:
                self.header = replace(self.header, is_settled=False, is_ending=True)
                self.is_settled = False
                self._rewrite()

    # Making.

    def _make(self, change: Change) -> None:
        with self._writing():
            change = change.prepared()
            self._append(to_json(change))
            self.changes.append(change)
            if change.keeps_others_waiting:
                change.do()
                return
        change.do()

    def _make_again(self, change: Change) -> None:
        with self._writing():
            change = self._current(change)
            if self._heir(change) is None:
                change.redo()

    def _make_instead(self, old: Change, change: Change) -> None:
        with self._writing():
            old = self._current(old)
            heir, found = self._heir(old), old.transition()
            if found is not None:
                change = replace(change, before=found[0])
            # The journal holds both meanwhile: if we die, either can be undone.
            self._append(to_json(change))
            made = change.transition()
            if heir is None or made is None:
                change.redo()
            else:
                heir.remember(made[1])
            self.changes[self.changes.index(old)] = change
            self._rewrite()

    # Shared places.

    def _undo(self, change: Change) -> None:
        if not change.keeps_others_waiting:
            change.undo()
            return
        with self._writing():
            self._undo_in_turn(self._current(change))

    def _undo_in_turn(self, change: Change) -> None:
        heir = self._heir(change)
        if heir is not None:
            found = change.transition()
            assert found is not None
            heir.remember(found[0])
        elif not self._is_held_by_another(change):
            change.undo()

    def _heir(self, change: Change) -> "_Heir | None":
        """Another tunnel's change, which found this change's value in the place."""
        transition = change.transition()
        if transition is None or transition[0] == transition[1]:
            return None
        for journal, other in self._rivals(change):
            theirs = other.transition()
            if theirs is not None and theirs[0] == transition[1]:
                return _Heir(journal, other)
        return None

    def _is_held_by_another(self, change: Change) -> bool:
        transition = change.transition()
        return transition is not None and any(
            theirs is not None and theirs[1] == transition[1]
            for theirs in (other.transition() for _, other in self._rivals(change))
        )

    def _rivals(self, change: Change) -> Iterator[tuple["Journal", Change]]:
        for name in _all():
            if name != self.name:
                journal = Journal(name)
                for other in journal.in_force():
                    if other.place == change.place:
                        yield journal, other

    # The file.

    def _current(self, change: Change) -> Change:
        """The change as the journal has it; it may have inherited a value since."""
        same = (each for each in self.changes if each.identity == change.identity)
        return next(same, change)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other commands from changing the host or the heirs meanwhile."""
        with host_locked():
            self._refresh()
            try:
                yield
            except OSError as error:
                raise SystemChangeError(
                    f"{self._path} cannot be written: {error.strerror}; mend that, and repeat"
                ) from None

    def _refresh(self) -> None:
        """Read the file, unless it is as we wrote it."""
        try:
            if self._path.stat().st_ino != self._inode:
                self._read()
        except FileNotFoundError:
            self._inode, self.header, self.changes = None, None, []
        except OSError as error:
            raise SystemChangeError(
                f"{self._path} cannot be read: {error.strerror}; run as root"
            ) from None

    def _read(self) -> None:
        with self._path.open("rb") as stream:
            self._inode = os.fstat(stream.fileno()).st_ino
            text = stream.read().decode(errors="replace")
        first, *lines = text.split("\n")
        self.header, self.changes = _header(first), []
        is_whole = bool(lines) and lines.pop() == ""
        for line in lines:
            try:
                self.changes.append(from_json(line))
            except SystemChangeError as error:
                log.warning("%s", error)
                is_whole = False
        self.is_settled = is_whole and self.header is not None and self.header.is_settled

    def _append(self, line: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        _write(descriptor, f"{line}\n")

    def _rewrite(self) -> None:
        header: dict[str, Any] = asdict(self.header) if self.header else {}
        lines = [json.dumps(header), *(to_json(change) for change in self.changes)]
        partial = self._path.with_suffix(".journal.new")
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        self._inode = os.fstat(descriptor).st_ino
        _write(descriptor, "".join(f"{line}\n" for line in lines))
        partial.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@dataclass(frozen=True, slots=True)
class _Heir:
    journal: Journal
    change: Change

    def remember(self, before: str | None) -> None:
        """Let this value be restored when the heir is undone."""
        changes = self.journal.changes
        changes[changes.index(self.change)] = replace(self.change, before=before)
        self.journal._rewrite()


def _header(line: str) -> Header | None:
    try:
        values = json.loads(line)
        role, source, boot_id = values["role"], values["source"], values["boot_id"]
        endpoints, is_settled = values["endpoints"], values["is_settled"]
        texts = [role, source, boot_id, *endpoints.keys(), *endpoints.values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(isinstance(each, str) for each in texts):
        return None
    is_ending = values.get("is_ending") is True
    return Header(role, source, boot_id, endpoints, is_settled is True, is_ending)


def _write(descriptor: int, text: str) -> None:
    """Write all of it to the disk, and close the descriptor."""
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
