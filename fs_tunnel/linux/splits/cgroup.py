# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Make a cgroup whose sockets bypass a full tunnel: cgroup version 2.

Only root can put a process into it.  Programs that the process starts are in it, too.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.splits import bpf
from fs_wire.errors import SystemChangeError

_MOUNTS = Path("/proc/self/mounts")
_NFT_ROOT = Path("/sys/fs/cgroup")  # nft(8) looks here for paths of cgroups
_ATTEMPTS = 100  # attempts to empty a cgroup whose processes start others
LEVEL = 1  # of our cgroups: directly below the root


@dataclass(frozen=True, slots=True)
class MarkedGroup(Change):
    """The cgroup of tunnel ``name``, whose sockets carry ``mark``."""

    name: str
    mark: int

    def do(self) -> None:
        path = group(self.name)
        try:
            path.mkdir(mode=0o755, exist_ok=True)
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                bpf.mark_sockets(directory, self.mark)
            finally:
                os.close(directory)
        except OSError as error:
            raise SystemChangeError(
                f"this host cannot mark the sockets of a cgroup ({error.strerror or error}), so no "
                "program can be outside of a full tunnel; use up --exclude, or run --inside with "
                "up --only"
            ) from None

    def undo(self) -> None:
        path = group(self.name)
        for attempt in range(_ATTEMPTS):
            try:
                _empty(path)
                path.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if attempt == _ATTEMPTS - 1:
                    raise SystemChangeError(
                        f"{path} cannot be removed: {error.strerror}; run fs-tunnel cleanup"
                    ) from None
                continue
            return


def group(name: str) -> Path:
    """The directory of a tunnel's cgroup; SystemChangeError if the host has no cgroup2."""
    for line in _MOUNTS.read_text().splitlines():
        _, place, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(place) / f"fs-tunnel-{name}"
    raise SystemChangeError(
        "this host has no cgroup2 mounted, so no program can be outside of a full tunnel; "
        f"mount -t cgroup2 none {_NFT_ROOT}, or use up --exclude"
    )


def _empty(path: Path) -> None:
    for pid in processes(path):
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            (path.parent / "cgroup.procs").write_text(str(pid))


def nft_path(path: Path) -> str:
    """A cgroup as nft names it; SystemChangeError if cgroup2 is mounted somewhere else."""
    try:
        return str(path.relative_to(_NFT_ROOT))
    except ValueError:
        raise SystemChangeError(
            f"nft finds no cgroup in {path.parent}; mount cgroup2 below {_NFT_ROOT}"
        ) from None


def processes(path: Path) -> list[int]:
    """The ids of the processes in a cgroup."""
    return [int(pid) for pid in (path / "cgroup.procs").read_text().split()]
