# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""PreUp, PostUp, PreDown and PostDown of a configuration: the administrator's own shell lines.

They run as root.  So we refuse them unless the user allowed them and only root can have written
them.  Nothing from a network ever becomes part of one: ``%i`` stands for the interface's name,
which was checked.
"""

import logging
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fs_tunnel.config import Hook, TunnelConfig, load
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import ConfigError, SystemChangeError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HookChange(Change):
    """Shell lines for the way up and the way down; ``ifname`` replaces %i.

    ``stage`` is inner or outer.
    """

    ends_with_link: ClassVar[bool] = True
    keeps_others_waiting: ClassVar[bool] = False

    ifname: str
    stage: str
    on_do: tuple[str, ...]
    on_undo: tuple[str, ...]

    @property
    def place(self) -> tuple[object, ...]:
        return ("HookChange", self.ifname, self.stage)

    def do(self) -> None:
        for line in self.on_do:
            code = self._run(line)
            if code:
                raise SystemChangeError(f"the hook {line!r} ended with {code}; mend or remove it")

    def redo(self) -> None:
        """Do nothing: a tunnel goes up once."""

    def undo(self) -> None:
        # A tunnel must go down even if its hooks fail, and each hook runs once.
        for line in self.on_undo:
            code = self._run(line)
            if code:
                log.warning("the hook %r ended with %d; going on", line, code)

    def _run(self, line: str) -> int:
        command = line.replace("%i", self.ifname)
        log.info("running the hook %s", command)
        return subprocess.run(["/bin/sh", "-c", command], check=False).returncode


def surround(config: TunnelConfig, changes: Sequence[Change]) -> list[Change]:
    """Put the hooks of a configuration around its changes, in wg-quick's order."""

    def lines(kind: str) -> tuple[str, ...]:
        return tuple(hook.command for hook in config.interface.hooks if hook.kind == kind)

    outer = HookChange(config.name, "outer", lines("PreUp"), lines("PostDown"))
    inner = HookChange(config.name, "inner", lines("PostUp"), lines("PreDown"))
    return [
        *([outer] if outer.on_do or outer.on_undo else []),
        *changes,
        *([inner] if inner.on_do or inner.on_undo else []),
    ]


def check_allowed(config: TunnelConfig, *, allowed: bool) -> None:
    """ConfigError for the first hook, unless they are allowed and only root can write the file."""
    hooks = config.interface.hooks
    for hook in hooks:
        if not allowed:
            raise _refusal(config, hook, "hooks run as root; give --allow-hooks if you wrote it")
        path = Path(config.source).resolve()
        for each in (path, *path.parents):
            if _is_shared(each, sticky_is_safe=each != path):
                raise _refusal(
                    config, hook, f"{each} can be written by others than root; chown and chmod it"
                )
        # A symbolic link in the path may have led elsewhere when we read the file.
        if load(path).interface.hooks != hooks:
            raise _refusal(config, hook, "the file changed meanwhile; repeat the command")


def _is_shared(path: Path, *, sticky_is_safe: bool) -> bool:
    status = path.stat()
    if status.st_uid != 0:
        return True
    # In a sticky directory, nobody can replace root's files.
    if sticky_is_safe and status.st_mode & stat.S_ISVTX:
        return False
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _refusal(config: TunnelConfig, hook: Hook, why: str) -> ConfigError:
    return ConfigError(why, source=config.source, line=hook.line, key=hook.kind)
