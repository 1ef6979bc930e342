# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The files of a market's tunnel: root's files, and a directory that belongs to its agent.

They are in ``market`` of the state directory. For a tunnel NAME:

- ``NAME.json`` is the start of its agent, see ``fs_tunnel.roles.starts``.
- ``NAME.conf`` is a client's tunnel file, with the tunnel's private key.
- ``NAME.key.N`` is a client's key for the session with one provider.
- ``NAME.choices`` has the providers that suited a client, the best first.
- ``NAME.standbys`` has the standbys among them.
- ``NAME.books`` is the directory of the agent, for its books.
"""

import hashlib
import json
import os
import pwd
from pathlib import Path

from fs_tunnel.console.private_file import write_privately
from fs_tunnel.helper.records import UnknownRecord
from fs_tunnel.linux.journal.state import state_directory
from fs_tunnel.roles.starts import CODEC, AgentStart, parse_start
from fs_wire.errors import SystemChangeError
from fs_wire.unprivileged import nobody

_USERS = ("flowshield",)  # an administrator can add this user for the agents


def agent_user(wanted: int) -> pwd.struct_passwd:
    """The user with that number; for 0, the user of agents. SystemChangeError if there is none.

    If you are not root, the agent runs as you.
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
    """The files of one tunnel. Methods that write raise SystemChangeError if they cannot."""

    def __init__(self, name: str, directory: Path | None = None) -> None:
        """``directory`` is used in place of ``market`` of the state directory."""
        self._name, self._directory = name, directory or state_directory() / "market"
        self.start = self._directory / f"{name}.json"
        self.conf = self._directory / f"{name}.conf"
        self.choices = self._directory / f"{name}.choices"
        self.standbys = self._directory / f"{name}.standbys"
        self.books = self._directory / f"{name}.books"

    def prepare(self, user: pwd.struct_passwd) -> None:
        """Make the directories. The agent can pass through root's directory, and cannot list it."""
        try:
            self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            if user.pw_uid != os.geteuid():
                for each in (self._directory, self._directory.parent):
                    each.chmod(0o711)
            self.books.mkdir(mode=0o700, exist_ok=True)
            if self.books.stat().st_uid != user.pw_uid:
                _give(self.books, user)
        except OSError as error:
            raise SystemChangeError(
                f"{self.books}: {error.strerror}; mend that, and run the command again"
            ) from None

    def write_start(self, start: AgentStart) -> None:
        """Replace the agent's start."""
        write_private(self.start, CODEC.to_line(start))

    def read_start(self) -> AgentStart | None:
        """The agent's start; None if there is no file, SystemChangeError if it is unreadable."""
        try:
            return parse_start(self.start.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, UnknownRecord):
            raise unreadable(self.start) from None

    def role(self) -> str | None:
        """The role of the agent's start, whichever version wrote it; None if there is no file."""
        try:
            said = json.loads(self.start.read_bytes())
            return str(said["role"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise unreadable(self.start) from None

    def session_key_of(self, provider: str) -> Path:
        """The file of the key for the session with this provider."""
        # A provider's name has any length, and any characters.
        number = hashlib.sha256(provider.encode()).hexdigest()[:16]
        return self._directory / f"{self._name}.key.{number}"

    def forget_keys(self) -> None:
        """Remove all files but the books. The next session then has other keys."""
        keys = self._directory.glob(f"{self._name}.key.*")
        for each in (self.conf, *keys, self.start, self.choices, self.standbys):
            each.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only root can read, whole or not at all."""
    write_privately(path, content, "mend that, and run the command again")


def unreadable(file: Path) -> SystemChangeError:
    """The error for a file of root's that is damaged, or that another version wrote."""
    return SystemChangeError(
        f"{file} cannot be read: it is damaged, or another version of the program wrote it; "
        "remove it"
    )


def _give(books: Path, user: pwd.struct_passwd) -> None:
    """Give the directory away last. If this is interrupted, the next command repeats it."""
    for folder, _, files in os.walk(books, topdown=False):
        for each in (*(Path(folder, name) for name in files), Path(folder)):
            os.chown(each, user.pw_uid, user.pw_gid, follow_symlinks=False)
