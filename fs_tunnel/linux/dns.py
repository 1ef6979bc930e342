"""The host's resolver: through resolvconf where the host has it, else in /etc/resolv.conf.

The file is changed in place where it is a file, since it may be a mount point, and replaced where
it is a symbolic link, whose target belongs to another program.
"""

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

    def prepared(self) -> Self:
        try:
            if _RESOLV_CONF.is_symlink():
                return replace(self, before=f"link:{_RESOLV_CONF.readlink()}")
            if not _RESOLV_CONF.exists():
                return replace(self, before="none:")
            return replace(self, before=f"file:{_RESOLV_CONF.read_text()}")
        except (OSError, UnicodeDecodeError) as error:
            raise SystemChangeError(f"{_RESOLV_CONF} cannot be read: {error}; mend it") from None

    def do(self) -> None:
        self._write(self.content, replace_link=self.before.startswith("link:"))

    def undo(self) -> None:
        kind, _, what = self.before.partition(":")
        if kind == "file":
            self._write(what, replace_link=False)
        else:
            _RESOLV_CONF.unlink(missing_ok=True)
            if kind == "link":
                _RESOLV_CONF.symlink_to(what)

    def _write(self, content: str, *, replace_link: bool) -> None:
        try:
            if replace_link:
                _RESOLV_CONF.unlink(missing_ok=True)
            _RESOLV_CONF.write_text(content)
        except OSError as error:
            raise SystemChangeError(
                f"{_RESOLV_CONF} cannot be written: {error.strerror}; remove DNS from the file"
            ) from None


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
