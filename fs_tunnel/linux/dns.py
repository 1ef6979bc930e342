"""The host's resolver: through resolvconf where the host has it, else in /etc/resolv.conf.

The file is changed in place where it is a file, since it may be a mount point, and replaced where
it is a symbolic link, whose target belongs to another program.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from fs_tunnel.errors import SystemChangeError
from fs_tunnel.linux.change import Change
from fs_tunnel.linux.command import run
from fs_tunnel.types import IPAddress

_RESOLV_CONF = Path("/etc/resolv.conf")
_INTERFACE_ORDER = Path("/etc/resolvconf/interface-order")


@dataclass(frozen=True, slots=True)
class Resolvconf(Change):
    """An entry of resolvconf(8), exclusive, and before all others."""

    entry: str
    content: str

    def do(self) -> None:
        run(["resolvconf", "-a", self.entry, "-m", "0", "-x"], stdin=self.content)

    def undo(self) -> None:
        run(["resolvconf", "-d", self.entry, "-f"])


@dataclass(frozen=True, slots=True)
class ResolvConf(Change):
    """The plain file. ``before`` is ``file:CONTENT``, ``link:TARGET`` or ``none:``."""

    survives_reboot: ClassVar[bool] = True

    content: str
    before: str = ""

    @property
    def place(self) -> tuple[object, ...]:
        return ("ResolvConf",)

    def transition(self) -> tuple[str, str]:
        return self.before, f"file:{self.content}"

    def prepared(self) -> Self:
        return replace(self, before=_look())

    def do(self) -> None:
        _restore(f"file:{self.content}")

    def undo(self) -> None:
        kind, _, what = _look().partition(":")
        # Half a file is ours, of a crash; another one was put there since, and is to stay.
        if kind == "none" or (kind == "file" and self.content.startswith(what)):
            _restore(self.before)


def use_resolvers(ifname: str, servers: Sequence[IPAddress], domains: Sequence[str]) -> Change:
    """The change that lets ``servers``, and no other, answer this host's questions."""
    content = "".join(f"nameserver {server}\n" for server in servers)
    if domains:
        content += f"search {' '.join(domains)}\n"
    if shutil.which("resolvconf"):
        return Resolvconf(f"{_entry_prefix()}{ifname}", content)
    return ResolvConf(
        f"# Written by fs-tunnel for {ifname}; restored when it goes down.\n{content}"
    )


def _entry_prefix() -> str:
    """What Debian's resolvconf wants before a tunnel's name, so that it sorts first."""
    try:
        lines = _INTERFACE_ORDER.read_text().splitlines()
    except OSError:
        return ""
    prefixes = (re.fullmatch(r"([A-Za-z0-9-]+)\*", line) for line in lines)
    found = next((match for match in prefixes if match), None)
    return f"{found[1]}." if found else ""


def _look() -> str:
    """What there is, in the form of ``before``; bytes that are not UTF-8 survive."""
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
        elif kind == "file":
            with _RESOLV_CONF.open("wb") as stream:
                stream.write(value.encode(errors="surrogateescape"))
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        raise _refusal("written", error) from None


def _refusal(what: str, error: OSError) -> SystemChangeError:
    return SystemChangeError(
        f"{_RESOLV_CONF} cannot be {what}: {error.strerror}; mend it, or remove DNS from the file"
    )
