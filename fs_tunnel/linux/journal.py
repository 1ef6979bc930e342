"""What was changed, written down before it is changed, so that a crash can be taken back.

One JSON line a change, each on the disk before the change is made.  A line that was cut short by a
crash belongs to a change that was never made.  The first line tells which boot and which role the
tunnel has: after a reboot only what survives one is taken back.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fs_tunnel.errors import FlowShieldError, SystemChangeError
from fs_tunnel.linux.change import Change
from fs_tunnel.linux.kinds import from_json, to_json

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def state_directory() -> Path:
    """Where journals live: FS_TUNNEL_STATE_DIR, or /var/lib/fs-tunnel."""
    return Path(os.environ.get("FS_TUNNEL_STATE_DIR", "/var/lib/fs-tunnel"))


@contextmanager
def locked(name: str, *, wait: bool = False) -> Iterator[None]:
    """Keep every other command away from tunnel ``name``.

    SystemChangeError where one is at it, unless ``wait`` lets that one finish.
    """
    directory = state_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise SystemChangeError(
                f"another fs-tunnel command is at work on {name}; wait for it to end"
            ) from None
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Header:
    """Who wrote a journal: ``role`` is up or serve."""

    role: str
    source: str
    boot_id: str


class Journal:
    """The changes of one tunnel that are in force, oldest first."""

    def __init__(self, name: str) -> None:
        self._path = state_directory() / f"{name}.journal"
        self.header: Header | None = None
        self.changes: list[Change] = []
        if self._path.exists():
            self._read()

    @property
    def is_open(self) -> bool:
        """Whether there is anything to take back."""
        return self.header is not None

    def may_resume(self, role: str) -> bool:
        """Whether what is in force is of this boot and this role, so that it can be built upon."""
        return (
            self.header is not None
            and self.header.role == role
            and self.header.boot_id == _boot_id()
        )

    def begin(self, role: str, source: str) -> None:
        """Start an empty journal."""
        self.header = Header(role, source, _boot_id())
        self.changes = []
        self._rewrite()

    def make(self, change: Change) -> None:
        """Write a change down, then make it."""
        change = change.prepared()
        self._append(to_json(change))
        self.changes.append(change)
        change.do()

    def take_back(self, change: Change) -> None:
        """Undo one change, then strike it out."""
        change.undo()
        self.changes.remove(change)
        self._rewrite()

    def take_all_back(self) -> None:
        """Undo all changes, latest first, and remove the journal.

        Goes on past a failure; then SystemChangeError names the first, and the journal keeps what
        could not be undone.
        """
        if self.header is None:
            return
        rebooted = self.header.boot_id != _boot_id()
        failures: list[tuple[Change, FlowShieldError]] = []
        for change in reversed(self.changes):
            if rebooted and not change.survives_reboot:
                continue
            try:
                change.undo()
            except FlowShieldError as error:
                log.error("%s", error)
                failures.insert(0, (change, error))
        if failures:
            self.changes = [change for change, _ in failures]
            self._rewrite()
            raise SystemChangeError(
                f"not all could be undone ({failures[-1][1]}); repeat the command to try again"
            )
        self._path.unlink(missing_ok=True)
        self.header, self.changes = None, []

    def missing(self, plan: Sequence[Change]) -> list[Change]:
        """Which changes of ``plan`` are not in force."""
        present = {change.identity for change in self.changes}
        return [change for change in plan if change.identity not in present]

    def superfluous(self, plan: Sequence[Change]) -> list[Change]:
        """Which changes in force ``plan`` does not have, latest first."""
        wanted = {change.identity for change in plan}
        return [change for change in reversed(self.changes) if change.identity not in wanted]

    def _read(self) -> None:
        lines = self._path.read_text(errors="replace").split("\n")
        try:
            header = json.loads(lines[0])
            self.header = Header(header["role"], header["source"], header["boot_id"])
        except (ValueError, KeyError, TypeError):
            # Cut short while it was begun: nothing had been changed.
            self._path.unlink()
            return
        for line in lines[1:]:
            try:
                if line:
                    self.changes.append(from_json(line))
            except SystemChangeError as error:
                log.warning("%s", error)

    def _append(self, line: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _rewrite(self) -> None:
        assert self.header is not None
        header = {
            "role": self.header.role,
            "source": self.header.source,
            "boot_id": self.header.boot_id,
        }
        lines = [json.dumps(header), *(to_json(change) for change in self.changes)]
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._path.with_suffix(".journal.new")
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.rename(self._path)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()
