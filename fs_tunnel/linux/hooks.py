"""PreUp, PostUp, PreDown and PostDown of a configuration: the administrator's own shell lines.

They run as root, so they are refused unless the user asked for them, and unless nobody but root can
have written them.  Nothing that comes from a network ever becomes part of one: ``%i`` stands for
the interface's name, which was checked.
"""

import logging
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fs_tunnel.config import Hook, TunnelConfig
from fs_tunnel.errors import ConfigError, SystemChangeError
from fs_tunnel.linux.change import Change

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HookChange(Change):
    """Shell lines to run on the way up, and on the way down; ``ifname`` takes the place of %i."""

    ends_with_link: ClassVar[bool] = True

    ifname: str
    on_do: tuple[str, ...] | list[str]
    on_undo: tuple[str, ...] | list[str]

    @property
    def identity(self) -> tuple[object, ...]:
        return ("HookChange", self.ifname, tuple(self.on_do), tuple(self.on_undo))

    def do(self) -> None:
        self._run(self.on_do)

    def undo(self) -> None:
        self._run(self.on_undo)

    def _run(self, lines: Sequence[str]) -> None:
        for line in lines:
            command = line.replace("%i", self.ifname)
            log.info("running the hook %s", command)
            done = subprocess.run(["/bin/sh", "-c", command], check=False)
            if done.returncode:
                raise SystemChangeError(
                    f"the hook {command!r} ended with {done.returncode}; mend or remove it"
                )


def surround(config: TunnelConfig, changes: Sequence[Change]) -> list[Change]:
    """Put the hooks of a configuration around its changes, in wg-quick's order."""

    def lines(kind: str) -> tuple[str, ...]:
        return tuple(hook.command for hook in config.interface.hooks if hook.kind == kind)

    before = HookChange(config.name, lines("PreUp"), lines("PostDown"))
    after = HookChange(config.name, lines("PostUp"), lines("PreDown"))
    return [
        *([before] if before.on_do or before.on_undo else []),
        *changes,
        *([after] if after.on_do or after.on_undo else []),
    ]


def check_allowed(config: TunnelConfig, *, allowed: bool) -> None:
    """ConfigError for the first hook, unless allowed and the file is root's alone."""
    for hook in config.interface.hooks:
        if not allowed:
            raise _refusal(config, hook, "hooks run as root; give --allow-hooks if you wrote it")
        path = Path(config.source).resolve()
        for each in (path, *path.parents):
            status = each.stat()
            shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            # In a sticky directory, nobody can replace what is root's.
            if shared and each != path and status.st_mode & stat.S_ISVTX:
                shared = 0
            if status.st_uid != 0 or shared:
                raise _refusal(
                    config, hook, f"{each} can be written by others than root; chown and chmod it"
                )


def _refusal(config: TunnelConfig, hook: Hook, why: str) -> ConfigError:
    return ConfigError(why, source=config.source, line=hook.line, key=hook.kind)
