# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Questions to the user: passwords, secrets, consent, and choices."""

import os
import stat
import sys
from pathlib import Path

import click

from fs_wire.errors import UsageError

_MAX_SECRET = 4096  # bytes

Declined = click.Abort
"""The user said no, or pressed Ctrl-C at a question."""


def read_password(file: Path | None, *, is_chosen: bool = False) -> str:
    """A keystore's password, from a file, standard input or a prompt, never from an argument."""
    if file is None:
        if not sys.stdin or not sys.stdin.isatty():
            raise UsageError("no terminal to ask for the password; use --password-file")
        text: str = click.prompt(
            "Password", hide_input=True, err=True, confirmation_prompt=is_chosen
        )
    else:
        text = read_secret(file)
    if not text:
        raise UsageError("the password is empty; choose another")
    return text


def read_secret(file: Path) -> str:
    """The first line of a file that other users cannot read; ``-`` means standard input."""
    if str(file) == "-":
        raw = sys.stdin.buffer.read(_MAX_SECRET) if sys.stdin else b""
    else:
        try:
            with file.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                    raise UsageError(f"other users can read {file}; run chmod 600 on it")
                raw = stream.read(_MAX_SECRET)
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}; name another file") from None
    try:
        return raw.decode().split("\n", 1)[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not a text file; name another file") from None


def ask(question: str, *, is_given: bool) -> None:
    """Get consent before money moves: ``is_given`` by ``--yes``, or by a yes on the terminal."""
    if is_given:
        return
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError("no terminal to ask for consent; add --yes")
    click.confirm(question, abort=True, err=True)


def choose_number(label: str, count: int) -> int:
    """Ask for a number from 1 to ``count``; 1 is the default. Declined if the user gives up."""
    answer: int = click.prompt(
        label, type=click.IntRange(1, count), default=1, show_default=True, err=True
    )
    return answer
