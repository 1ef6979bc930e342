"""What a market's tunnel keeps on the disk: root's files, and a directory of its agent's.

In ``market`` of the state directory, for a tunnel NAME: ``NAME.json``, by which its agent is
started, and for a client ``NAME.conf``, with the tunnel's key, ``NAME.key.N``, a key for the
session with each provider, ``NAME.choices``, the providers that suited, the best first, and
``NAME.standbys``, those of them who stand by. The agent's books are in
``NAME.books``, and its alone.
"""

import hashlib
import json
import os
import pwd
from pathlib import Path
from typing import Any

from fs_tunnel.linux.journal.state import state_directory
from fs_wire.errors import SystemChangeError
from fs_wire.unprivileged import nobody

_USERS = ("flowshield",)  # who made one for the agent gets it; else nobody


def agent_user(wanted: int) -> pwd.struct_passwd:
    """The user of that number, or where it is 0 the one for agents; SystemChangeError for none.

    Who is not root can only be who he is.
    """
    if (ours := os.geteuid()) != 0:
        try:
            return pwd.getpwuid(ours)
        except KeyError:
            raise SystemChangeError(f"no user has the number {ours}; add one") from None
    if wanted:
        return pwd.getpwuid(wanted)
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return nobody()


class MarketFiles:
    """The files of one tunnel. SystemChangeError where they cannot be written."""

    def __init__(self, name: str, directory: Path | None = None) -> None:
        """``directory``: another than ``market`` of the state directory."""
        self._name, self._directory = name, directory or state_directory() / "market"
        self.start = self._directory / f"{name}.json"
        self.conf = self._directory / f"{name}.conf"
        self.choices = self._directory / f"{name}.choices"
        self.standbys = self._directory / f"{name}.standbys"
        self.books = self._directory / f"{name}.books"

    def prepare(self, user: pwd.struct_passwd) -> None:
        """Make the directories; the agent gets past ours, and sees nothing in it."""
        try:
            self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            if user.pw_uid != os.geteuid():
                for each in (self._directory, self._directory.parent):
                    each.chmod(0o711)
            self.books.mkdir(mode=0o700, exist_ok=True)
            if self.books.stat().st_uid != user.pw_uid:
                _give(self.books, user)
        except OSError as error:
            raise SystemChangeError(f"{self.books}: {error.strerror}; mend that") from None

    def write_start(self, content: dict[str, Any]) -> None:
        """Replace the file by which the agent is started."""
        write_private(self.start, json.dumps(content).encode() + b"\n")

    def read_start(self) -> dict[str, Any] | None:
        """What stands there; None where there is none."""
        try:
            content = json.loads(self.start.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise SystemChangeError(f"{self.start} cannot be read; remove it") from None
        return content if isinstance(content, dict) else None

    def session_key_of(self, provider: str) -> Path:
        """The key for the session with this provider."""
        # A name of any length, and of any characters.
        number = hashlib.sha256(provider.encode()).hexdigest()[:16]
        return self._directory / f"{self._name}.key.{number}"

    def forget_keys(self) -> None:
        """A session is over: the next has other keys. The books stay."""
        keys = self._directory.glob(f"{self._name}.key.*")
        for each in (self.conf, *keys, self.start, self.choices, self.standbys):
            each.unlink(missing_ok=True)


def _give(books: Path, user: pwd.struct_passwd) -> None:
    """All that is in it, and itself last: what is cut short is done again."""
    for folder, _, files in os.walk(books, topdown=False):
        for each in (*(Path(folder, name) for name in files), Path(folder)):
            os.chown(each, user.pw_uid, user.pw_gid, follow_symlinks=False)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only root can read, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise SystemChangeError(f"{path}: {error.strerror}; mend that, and repeat") from None
