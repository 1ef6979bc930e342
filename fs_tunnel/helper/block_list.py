# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Lists of names that a provider's resolver denies, with one name a line or as in hosts(5)."""

import re
from ipaddress import ip_address
from pathlib import Path

from fs_tunnel.config import read_at_most
from fs_wire.errors import ConfigError

MAX_FILE_BYTES = 32 << 20  # a million names
_MAX_NAME = 253
# DNS names can have underscores, and host names cannot.
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# Names by which a hosts file means the host itself.
_OF_THE_HOST = frozenset(
    {"localhost", "localhost.localdomain", "local", "broadcasthost"}
    | {f"ip6-{name}" for name in ("localhost", "loopback", "localnet", "mcastprefix")}
    | {f"ip6-{name}" for name in ("allnodes", "allrouters", "allhosts")}
)


def load(path: Path) -> frozenset[str]:
    """Read and parse a file; ConfigError if it cannot be used."""
    raw = read_at_most(path, MAX_FILE_BYTES, "give a shorter list")
    return parse(raw.decode("utf-8", "replace"), source=str(path))


def parse(text: str, *, source: str) -> frozenset[str]:
    """The names in lower case, without a dot at the end; ConfigError for the first wrong name.

    ``#`` begins a comment. A line of hosts(5) begins with an address, which is skipped.
    """
    names = set()
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.partition("#")[0].split()
        is_of_hosts = len(words) > 1
        if is_of_hosts:
            if not _is_address(words[0]):
                raise ConfigError(
                    "a line with several words must begin with an address; write one name a line",
                    source=source,
                    line=number,
                )
            del words[0]
        for word in words:
            name = word.lower().removesuffix(".")
            if is_of_hosts and (name in _OF_THE_HOST or _is_address(name)):
                continue
            if not _is_name(name):
                raise ConfigError(
                    "not a DNS name; write a name such as ads.example.com",
                    source=source,
                    line=number,
                )
            names.add(name)
    return frozenset(names)


def _is_name(name: str) -> bool:
    labels = name.split(".")
    return (
        len(name) <= _MAX_NAME
        and not labels[-1].isdigit()  # an address
        and all(_LABEL.fullmatch(label) for label in labels)
    )


def _is_address(word: str) -> bool:
    try:
        ip_address(word.partition("%")[0])
    except ValueError:
        return False
    return True
