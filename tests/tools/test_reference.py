# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""docs/reference.md is what the commands say, whatever the terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tools import reference
from tools.testing import patience

COMMANDS = dict(reference.commands())


def test_the_reference_is_what_the_commands_say() -> None:
    # In a process of its own: click remembers a command's help option as it was first asked for.
    done = subprocess.run(
        [sys.executable, "-m", "tools.reference", "--check"],
        cwd=reference.DOCUMENT.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def documented(name: str) -> str:
    """What the reference says that a command's help is."""
    document = reference.DOCUMENT.read_text()
    found = re.search(rf"^## {name}\n\n```text\n(.*?)\n```$", document, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_every_verb_of_every_group_is_in_it() -> None:
    document = reference.DOCUMENT.read_text()
    for name, context in COMMANDS.items():
        assert f"\n## {name}\n" in document
        if isinstance(context.command, click.Group):
            for verb in context.command.list_commands(context):
                assert f"{name} {verb}" in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_what_a_user_sees(name: str) -> None:
    program, *verbs = name.split()
    done = subprocess.run(
        [Path(sys.executable).parent / program, *verbs, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
        timeout=patience.seconds(30),
    )
    assert done.stdout.rstrip("\n") == documented(name)
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_command_says_what_it_is(name: str) -> None:
    command = COMMANDS[name].command
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_a_stale_reference_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "DOCUMENT", tmp_path / "reference.md")
    monkeypatch.setattr(sys, "argv", ["reference"])
    assert reference.main() == 0
    monkeypatch.setattr(sys, "argv", ["reference", "--check"])
    assert reference.main() == 0
    with reference.DOCUMENT.open("a") as stream:
        stream.write("stale\n")
    assert reference.main() == 1
    assert "run python -m tools.reference" in capsys.readouterr().err


def test_the_terminal_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = reference.render()
    monkeypatch.setenv("COLUMNS", "40")
    assert reference.render() == rendered
