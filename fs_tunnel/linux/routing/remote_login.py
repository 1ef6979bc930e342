# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Find out whether the user is here over SSH, which a full tunnel would cut off."""

from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from fs_wire.types import IPAddress

_PROC = Path("/proc")


class RemoteLogin(NamedTuple):
    """The address that an SSH session comes from, and the port of this host that it uses."""

    address: IPAddress
    port: int


def remote_login(pid: int, proc: Path = _PROC) -> RemoteLogin | None:
    """The SSH session that process ``pid`` belongs to; None if there is none.

    sshd(8) sets SSH_CONNECTION for its children.  sudo(8) does not pass it on, so we look at our
    ancestors as well.
    """
    while pid > 1:
        found = _parse(_environment(proc / str(pid)))
        if found is not None:
            return found
        pid = _parent(proc / str(pid))
    return None


def _environment(process: Path) -> dict[bytes, bytes]:
    try:
        lines = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}  # it has ended, or we may not read it
    return dict(line.partition(b"=")[::2] for line in lines)


def _parent(process: Path) -> int:
    try:
        # The name, in brackets, may hold anything.
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _parse(environment: dict[bytes, bytes]) -> RemoteLogin | None:
    """Parse ``SSH_CONNECTION=CLIENT CLIENT_PORT SERVER SERVER_PORT``."""
    try:
        client, _, _, port = environment.get(b"SSH_CONNECTION", b"").decode().split(" ")
        address = ip_address(client.partition("%")[0])
        return RemoteLogin(getattr(address, "ipv4_mapped", None) or address, int(port))
    except ValueError:
        return None
