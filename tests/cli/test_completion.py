# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""bash, zsh and fish complete what a person types; each is asked at a terminal or by itself."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import click
import pytest

from fs_tunnel.cli import completion
from fs_tunnel.cli.main import VERBS
from tools.testing import patience

PROGRAMS = Path(sys.executable).parent
DEADLINE = patience.seconds(30.0)  # seconds for a shell and the programs that it asks
TAB, TO_START = "\t", "\x01"
LOADS = {
    "bash": "set -o emacs; source completion.bash",
    "zsh": "bindkey -e; autoload -U compinit; compinit -D -u; source completion.zsh",
}
STARTS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


class Terminal:
    """A shell at a terminal, and a person who types."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._terminal, other_end = pty.openpty()
        self._shell = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            cwd=folder,
            env=surroundings(folder),
        )
        os.close(other_end)
        self._seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._terminal)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, mark: str) -> str:
        """What the terminal shows before ``mark``."""
        end = time.monotonic() + DEADLINE
        while mark not in self._seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0, end - time.monotonic()))
            assert ready, f"{mark!r} did not come; seen: {self._seen!r}"
            self._seen += os.read(self._terminal, 4096).decode(errors="replace")
        before, _, self._seen = self._seen.partition(mark)
        return before


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a user who has no settings."""
    path = f"{PROGRAMS}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def write_script(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; run: apt-get install {shell}")
    done = subprocess.run(
        [PROGRAMS / "fs-tunnel", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert done.stderr == ""
    (folder / f"completion.{shell}").write_text(done.stdout)


def completed(shell: str, typed: str, folder: Path) -> str:
    """What a line becomes when TAB is pressed behind it."""
    write_script(shell, folder)
    with Terminal(STARTS[shell], folder) as terminal:
        # The quotes tell what is printed from what is typed.
        terminal.type(f"{LOADS[shell]}; echo lo''aded\n")
        terminal.read_until("loaded")
        terminal.type(f"{typed}{TAB}{TO_START}echo li''ne: \n")
        terminal.read_until("line: ")
        return terminal.read_until("\n").strip()


@pytest.mark.parametrize("shell", STARTS)
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("fs-tunnel stat", "fs-tunnel status"),
        ("fs-tunnel status --js", "fs-tunnel status --json"),
        ("fs-tunnel config ch", "fs-tunnel config check"),
        ("fs-tunnel completion z", "fs-tunnel completion zsh"),
        ("fs-tunnel up ./ali", "fs-tunnel up ./alice.conf"),
    ],
)
def test_a_terminal_completes(shell: str, typed: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "alice.conf").touch()
    assert completed(shell, typed, tmp_path) == line


def completed_by_fish(typed: str, folder: Path) -> dict[str, str]:
    """Completions and their descriptions; fish tells them without a terminal."""
    write_script("fish", folder)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source completion.fish; complete -C '{typed}'"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=surroundings(folder),
        timeout=DEADLINE,
    )
    assert done.stderr == ""
    found = (line.partition("\t") for line in done.stdout.splitlines())
    return {word: description for word, _, description in found}


def test_fish_knows_every_verb_and_what_it_does(tmp_path: Path) -> None:
    assert completed_by_fish("fs-tunnel ", tmp_path) == VERBS


def test_fish_completes_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "alice.conf").touch()
    assert set(completed_by_fish("fs-tunnel status --", tmp_path)) == {
        *("--json", "--watch", "--help")
    }
    assert "alice.conf" in completed_by_fish("fs-tunnel config check ali", tmp_path)


def suggested(incomplete: str) -> list[tuple[str, str]]:
    """Values and types."""
    command = click.Command("up")
    found = completion.complete_conf(click.Context(command), click.Argument(["conf"]), incomplete)
    return [(item.value, item.type) for item in found]


def test_tunnels_of_the_usual_directories_are_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = (tmp_path / "fs-tunnel", tmp_path / "wireguard", tmp_path / "not-there")
    monkeypatch.setattr(completion, "CONFIG_DIRECTORIES", directories)
    for path in (
        "fs-tunnel/alice.conf",
        "wireguard/alice.conf",
        "wireguard/bob.conf",
        "wireguard/b",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert suggested("") == [("alice", "plain"), ("bob", "plain")]
    assert suggested("b") == [("bob", "plain")]
    assert suggested("./b") == [("./b", "file")]
