# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Changes that touch nothing but a dictionary, and journals with them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal
from fs_wire.errors import SystemChangeError

ENDPOINTS = {"vpn.example.net:51820": "192.0.2.1:51820"}


class Host:
    """The host of these tests: a few settings, and a record of all changes."""

    settings: ClassVar[dict[str, str]] = {}
    log: ClassVar[list[str]] = []
    broken: ClassVar[set[str]] = set()


@dataclass(frozen=True)
class Thing(Change):
    """Something that is there or not."""

    name: str

    def do(self) -> None:
        if self.name in Host.broken:
            raise SystemChangeError(f"{self.name} is broken; mend it")
        Host.log.append(f"+{self.name}")

    def undo(self) -> None:
        if self.name in Host.broken:
            raise SystemChangeError(f"{self.name} is broken; mend it")
        Host.log.append(f"-{self.name}")


@dataclass(frozen=True)
class Lasting(Thing):
    """A change that survives a reboot."""

    survives_reboot: ClassVar[bool] = True


@dataclass(frozen=True)
class Setting(Change):
    """A value of the host, which every tunnel may set."""

    key: str
    value: str
    before: str | None = None

    @property
    def place(self) -> tuple[object, ...]:
        return ("Setting", self.key)

    def transition(self) -> tuple[str | None, str]:
        return self.before, self.value

    def prepared(self) -> "Setting":
        return Setting(self.key, self.value, Host.settings[self.key])

    def do(self) -> None:
        Host.settings[self.key] = self.value

    def undo(self) -> None:
        assert self.before is not None
        if Host.settings[self.key] == self.value:
            Host.settings[self.key] = self.before


def begun(name: str, *changes: Change, settled: bool = True) -> Journal:
    journal = Journal(name)
    journal.begin("up", f"{name}.conf", ENDPOINTS)
    for change in changes:
        journal.ensure(change)
    if settled:
        journal.settle()
    return journal


def reboot(path: Path) -> None:
    """Let a journal be of an earlier boot."""
    header, *rest = path.read_text().split("\n")
    path.write_text("\n".join([json.dumps({**json.loads(header), "boot_id": "another"}), *rest]))
