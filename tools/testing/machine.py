# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What tests could change on the machine and must not: its state in words, before and after."""

import difflib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_COMMANDS = (
    ("ip", "netns", "list"),
    ("ip", "-o", "link"),
    ("ip", "-o", "address"),
    ("ip", "rule"),
    ("ip", "-6", "rule"),
    ("ip", "route", "show", "table", "all"),
    ("ip", "-6", "route", "show", "table", "all"),
    ("nft", "--stateless", "list", "ruleset"),
)
_FOLDERS = (
    *("/etc/fs-tunnel", "/etc/netns", "/etc/wireguard", "/run/fs-tunnel", "/run/wireguard"),
    *("/var/lib/fs-tunnel", "/etc/systemd/system"),
)
_FILES = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf")
_SYSCTLS = Path("/proc/sys/net")
# Of a route's or an address's life: it passes by itself.
_PASSING = re.compile(r"\b(expires|valid_lft|preferred_lft) \S+")
_PATIENCE = 30.0  # s; others who use the machine may change it for a moment


def state() -> dict[str, str]:
    """Each thing by its name."""
    return {
        **{" ".join(command): _told(command) for command in _COMMANDS},
        **{folder: "\n".join(_contents(Path(folder))) for folder in _FOLDERS},
        **{path: _text(Path(path)) for path in _FILES},
        **{str(path): _text(path) for path in _settable(_SYSCTLS)},
    }


def changes(before: Mapping[str, str]) -> list[str]:
    """What differs now, as lines; a parameter that a module of the kernel brought is none."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = differences(before, state())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The lines that only one of two states has, below the names of the things."""
    return [
        line
        for name, text in before.items()
        if after.get(name) != text
        for line in (f"{name}:", *_lines(text, after.get(name, "(not there)")))
    ]


def _lines(before: str, after: str) -> Iterator[str]:
    compared = difflib.ndiff(before.splitlines(), after.splitlines())
    return (line for line in compared if line.startswith(("+ ", "- ")))


def _told(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return _PASSING.sub("", done.stdout)


def _contents(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        yield f"{path} {_text(path)!r}" if path.is_file() else str(path)


def _settable(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and _is_settable(path))


def _is_settable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o200) and not path.name.endswith("stable_secret")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError as error:
        return f"({error.strerror})"
