# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A root shell on a host of its own, at which a test types as a user does.

The shell is a bash on a pseudo-terminal in a network namespace, with its own /etc, /run and home.
"""

import os
import re
import select
import signal
import subprocess
import termios
import time
from pathlib import Path
from typing import Self

from tests.netns.topology import REPOSITORY, Namespace
from tests.netns.waiting import wait_until

SECONDS = 120.0
_TYPED = "__typed__"
# What commands ask, and what the user answers.
_ANSWERS = {
    "Password: ": "correct horse\n",
    "Repeat for confirmation: ": "correct horse\n",
    "[y/N]: ": "y\n",
}


class TypedWrong(AssertionError):
    """A command of a guide failed; its terminal's text is in the message."""


class Terminal:
    """One host's, in a folder of that host."""

    def __init__(self, host: Namespace, folder: Path, resolver: str) -> None:
        self.folder = folder / "work"
        self.log = ""
        self._host = host
        self._root = folder
        self._resolver = resolver
        self._started = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        for name in ("home", "run", "state"):
            (self._root / name).mkdir()
        self._end, theirs = os.openpty()
        modes = termios.tcgetattr(theirs)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, modes)
        self._shell = subprocess.Popen(
            [
                *("setsid", "--ctty", "ip", "netns", "exec", self._host.name),
                *("bash", "--noprofile", "--norc", "--noediting", "-e"),
            ],
            cwd=self.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environment(),
        )
        os.close(theirs)
        self.type(
            f"cp -a /etc '{self._root}/etc'\n"
            f"mount --bind '{self._root}/etc' /etc\n"
            f"mount --bind '{self._root}/run' /run\n"
            f"echo nameserver {self._resolver} > /etc/resolv.conf\n"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.send_signal(signal.SIGHUP)
        self._shell.wait(SECONDS)
        os.close(self._end)

    def type(self, text: str) -> str:
        """Type some lines, and wait for their end; what the terminal showed.

        TypedWrong if one of them fails. A group, because what is typed ahead would be an answer to
        the first question.
        """
        begun = len(self.log)
        os.write(self._end, f"{{\n{text}\nprintf '\\n%s\\n' {_TYPED}\n}}\n".encode())
        deadline = time.monotonic() + SECONDS
        answered = begun
        while f"\n{_TYPED}" not in self.log[begun:]:
            if time.monotonic() > deadline:
                raise TypedWrong(f"not within {SECONDS:g} s:\n{text}\n{self.log[begun:]}")
            if not self._read():
                raise TypedWrong(f"this failed:\n{text}\n{self.log[begun:]}")
            for question, answer in _ANSWERS.items():
                if self.log.endswith(question) and len(self.log) > answered:
                    answered = len(self.log)
                    os.write(self._end, answer.encode())
        return self.log[begun:].partition(f"\n{_TYPED}")[0]

    def start(self, text: str, until: str) -> str:
        """Type what runs until Ctrl-C into another terminal; what it says, up to a line.

        That terminal is a job of this shell.
        """
        self._started += 1
        told = self.folder / f"terminal-{self._started}.log"
        self.type(f"{{\n{text}\n}} > {told.name} 2>&1 &")

        def said() -> str:
            text = told.read_text() if told.exists() else ""
            return text if re.search(f"^{until}", text, re.MULTILINE) else ""

        return wait_until(said, what=f"{text} says {until}", seconds=SECONDS)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._root.parent / 'bin'}:{REPOSITORY / '.venv/bin'}:{os.environ['PATH']}",
            "HOME": str(self._root / "home"),
            "FS_TUNNEL_STATE_DIR": str(self._root / "state"),
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
            "PS1": "",
            "PS2": "",
        }

    def _read(self) -> bool:
        """Whether the shell still runs."""
        ready, _, _ = select.select([self._end], [], [], 0.2)
        if not ready:
            return True
        try:
            self.log += os.read(self._end, 65536).decode(errors="replace").replace("\r", "")
        except OSError:  # all of the other end is closed
            return False
        return True
