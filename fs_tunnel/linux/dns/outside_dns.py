# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The resolvers that this host would use without its tunnel, for programs outside of it."""

import os
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from fs_tunnel.linux.dns.host_resolver import ResolvConf
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import UsageError
from fs_wire.types import IPAddress

# resolvconf(8) and systemd-resolved(8) keep here what each link told them.
_HEARD = ("run/resolvconf/interface*/*", "run/systemd/resolve/resolv.conf")


def outside_resolvers(
    in_force: Sequence[Change], inside: Collection[IPAddress], root: Path = Path("/")
) -> list[IPAddress]:
    """Resolvers other than the tunnel's own, ``inside``; the tunnel's changes are ``in_force``.

    We skip a resolver on the loopback: it is a program that itself asks through the tunnel.
    UsageError if there is no other.
    """
    for text in _texts(in_force, root):
        found = [each for each in _servers(text) if not each.is_loopback and each not in inside]
        if found:
            return found
    raise UsageError("no resolver outside of the tunnel is known; name one with --dns ADDRESS")


def _texts(in_force: Sequence[Change], root: Path) -> Iterator[str]:
    for change in in_force:
        if isinstance(change, ResolvConf):
            kind, _, before = change.before.partition(":")
            if kind == "file":
                yield before
            elif kind == "link":
                target = Path("/etc", before)  # An absolute target replaces the folder.
                yield from _read(Path(os.path.normpath(f"{root}/{target}")))
    for pattern in _HEARD:
        for path in sorted(root.glob(pattern)):
            yield from _read(path)
    yield from _read(root / "etc/resolv.conf")


def _read(path: Path) -> Iterator[str]:
    try:
        yield path.read_text(errors="replace")
    except OSError:
        return


def _servers(text: str) -> Iterator[IPAddress]:
    """The resolvers that a resolv.conf(5) names."""
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_]:
                try:
                    yield ip_address(address)
                except ValueError:
                    continue
