# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The host's resolver: systemd-resolved if it runs, or resolvconf, or else /etc/resolv.conf.

We change a plain file in place, since it may be a mount point.  We replace a symbolic link, since
its target belongs to another program.  NetworkManager rewrites a file at any time, but leaves a
link alone that leads elsewhere (NetworkManager.conf(5), rc-manager).  So if NetworkManager writes
the file, we put a link in its place.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from fs_tunnel.linux.command import run
from fs_tunnel.linux.dns import resolved
from fs_tunnel.linux.dns.system_bus import Service, caller
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import SystemChangeError
from fs_wire.types import IPAddress

log = logging.getLogger(__name__)

_RESOLV_CONF = Path("/etc/resolv.conf")
_NETWORK_MANAGER = Service(
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "see journalctl -u NetworkManager",
)
_OURS = "# Written by fs-tunnel"
_RELOAD_DNS_FILE = 2  # NM_MANAGER_RELOAD_FLAG_DNS_RC
_INTERFACE_ORDER = Path("/etc/resolvconf/interface-order")


@dataclass(frozen=True, slots=True)
class Resolvconf(Change):
    """An exclusive entry of resolvconf(8), which sorts before all others."""

    entry: str
    content: str

    def do(self) -> None:
        run(["resolvconf", "-a", self.entry, "-m", "0", "-x"], stdin=self.content)

    def undo(self) -> None:
        run(["resolvconf", "-d", self.entry, "-f"])


@dataclass(frozen=True, slots=True)
class ResolvConf(Change):
    """The plain file. ``before`` is ``file:CONTENT``, ``link:TARGET`` or ``none:``.

    ``link``: the name of a second file, in the same directory.  It has the content, and the first
    file becomes a link to it.
    """

    survives_reboot: ClassVar[bool] = True

    content: str
    before: str = ""
    link: str = ""

    @property
    def place(self) -> tuple[object, ...]:
        return ("ResolvConf",)

    def transition(self) -> tuple[str, str]:
        return self.before, f"link:{self.link}" if self.link else f"file:{self.content}"

    def prepared(self) -> Self:
        return replace(self, before=_look())

    def do(self) -> None:
        if self.link:
            _write(_RESOLV_CONF.with_name(self.link), self.content)
        _restore(self.transition()[1])

    def undo(self) -> None:
        # A part of our content is our own, from a crash.  Any other file is not ours, and stays.
        kind, _, what = _look().partition(":")
        if self.link:
            is_ours = kind == "link" and what == self.link
        else:
            is_ours = kind == "file" and self.content.startswith(what)
        if is_ours or kind == "none":
            _restore(self.before)
        if self.link:
            _remove_unused_targets()
            _let_network_manager_write()


def use_resolvers(
    ifname: str, servers: Sequence[IPAddress], domains: Sequence[str], *, takes_all: bool
) -> list[Change]:
    """The changes that let ``servers`` resolve names for this host.

    ``takes_all``: they resolve all names, and no other server resolves any.  Otherwise resolved
    asks them about ``domains`` alone; resolvconf and the file cannot tell domains apart.
    """
    if not resolved.is_serving():
        return [_for_every_name(ifname, servers, domains)]
    if not takes_all and not domains:
        log.warning(
            "%s does not take all traffic, and DNS names no domain: its servers are not used; "
            "add to DNS the domains that they know",
            ifname,
        )
        return []
    link = resolved.ResolvedLink(
        ifname, tuple(map(str, servers)), tuple(domains), takes_all=takes_all
    )
    # If the file leads elsewhere, programs that read it never ask resolved.
    if takes_all and not _leads_to_resolved():
        return [link, _for_every_name(ifname, servers, domains)]
    return [link]


def _for_every_name(
    ifname: str, servers: Sequence[IPAddress], domains: Sequence[str]
) -> "Resolvconf | ResolvConf":
    content = "".join(f"nameserver {server}\n" for server in servers)
    if domains:
        content += f"search {' '.join(domains)}\n"
    if _has_resolvconf():
        return Resolvconf(f"{_entry_prefix()}{ifname}", content)
    return ResolvConf(
        f"{_OURS} for {ifname}; restored when it goes down.\n{content}",
        link=f"{_RESOLV_CONF.name}.{ifname}" if _is_network_managers() else "",
    )


def _has_resolvconf() -> bool:
    """Whether a resolvconf writes the file; resolvectl under that name does not."""
    found = shutil.which("resolvconf")
    return found is not None and Path(found).resolve().name != "resolvectl"


def _leads_to_resolved() -> bool:
    asked = set(re.findall(r"^nameserver\s+(\S+)", _text(_RESOLV_CONF), re.MULTILINE))
    return bool(asked) and asked <= resolved.STUBS


def _is_network_managers() -> bool:
    """Whether NetworkManager writes the file, or did before another tunnel of ours."""
    text = _text(_RESOLV_CONF)
    is_linked_by_us = _RESOLV_CONF.is_symlink() and text.startswith(_OURS)
    return is_linked_by_us or text.startswith("# Generated by NetworkManager")


def _remove_unused_targets() -> None:
    """Look at all tunnels: they may end in another order than they began."""
    used = _RESOLV_CONF.readlink().name if _RESOLV_CONF.is_symlink() else None
    for path in _RESOLV_CONF.parent.glob(f"{_RESOLV_CONF.name}.*"):
        if path.name != used and _text(path).startswith(_OURS):
            path.unlink(missing_ok=True)


def _let_network_manager_write() -> None:
    """Let NetworkManager write the file anew: the restored one is as old as the tunnel."""
    with contextlib.suppress(SystemChangeError), caller(_NETWORK_MANAGER) as manager:
        manager.call("Reload", "u", _RELOAD_DNS_FILE)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _entry_prefix() -> str:
    """The prefix that lets an entry sort first in Debian's resolvconf."""
    try:
        lines = _INTERFACE_ORDER.read_text().splitlines()
    except OSError:
        return ""
    prefixes = (re.fullmatch(r"([A-Za-z0-9-]+)\*", line) for line in lines)
    found = next((match for match in prefixes if match), None)
    return f"{found[1]}." if found else ""


def _look() -> str:
    """The present file, in the form of ``before``; bytes that are not UTF-8 survive."""
    try:
        if _RESOLV_CONF.is_symlink():
            return f"link:{_RESOLV_CONF.readlink()}"
        if not _RESOLV_CONF.exists():
            return "none:"
        return f"file:{_RESOLV_CONF.read_bytes().decode(errors='surrogateescape')}"
    except OSError as error:
        raise _refusal("read", error) from None


def _restore(what: str) -> None:
    kind, _, value = what.partition(":")
    try:
        if kind != "file" or _RESOLV_CONF.is_symlink():
            _RESOLV_CONF.unlink(missing_ok=True)
        if kind == "link":
            _RESOLV_CONF.symlink_to(value)
    except OSError as error:
        raise _refusal("written", error) from None
    if kind == "file":
        _write(_RESOLV_CONF, value)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("wb") as stream:
            stream.write(text.encode(errors="surrogateescape"))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _refusal("written", error) from None


def _refusal(what: str, error: OSError) -> SystemChangeError:
    return SystemChangeError(
        f"{_RESOLV_CONF} cannot be {what}: {error.strerror}; mend it, or remove DNS from the file"
    )
