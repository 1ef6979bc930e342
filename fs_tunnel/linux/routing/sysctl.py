# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Read and set kernel parameters, under /proc/sys of our network namespace."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import PrivilegeError, SystemChangeError

_ROOT = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Sysctl(Change):
    """``key`` with slashes, ``net/ipv4/ip_forward``; ``before`` is None if it did not exist."""

    key: str
    value: str
    before: str | None = None

    @property
    def place(self) -> tuple[object, ...]:
        return ("Sysctl", self.key)

    def transition(self) -> tuple[str | None, str]:
        return self.before, self.value

    def prepared(self) -> Self:
        return replace(self, before=read(self.key))

    def do(self) -> None:
        if read(self.key) != self.value:
            _write(self.key, self.value)

    def undo(self) -> None:
        # An interface's parameters go with it.  If another program changed the value, it stays.
        if self.before is not None and read(self.key) == self.value != self.before:
            _write(self.key, self.before)


def read(key: str) -> str | None:
    """The value of a parameter; None if this kernel has none of that name."""
    try:
        return (_ROOT / key).read_text().strip()
    except OSError:
        return None


def _write(key: str, value: str) -> None:
    try:
        (_ROOT / key).write_text(value)
    except PermissionError:
        raise PrivilegeError(f"setting {key.replace('/', '.')} needs root; run as root") from None
    except OSError as error:
        raise SystemChangeError(
            f"setting {key.replace('/', '.')}={value}: {error.strerror}; see sysctl(8)"
        ) from None
