# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Make a network namespace for programs, with a cable to the host.

The cable is a veth pair without ARP and neighbour discovery.  Both its ends have the same MAC
address.  So the host needs no address on it, and programs inside must not reach it.  The rules of
``split_plans`` decide where packets go.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fs_tunnel.linux.command import run
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.routing.links import exists

INNER_END = "tunnel"
_MAC = "02:66:73:00:00:01"  # a locally administered one
_NAMESPACES = Path("/run/netns")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class InnerNamespace(Change):
    """The namespace of tunnel ``name``; ``cable`` is its interface on the host.

    The namespace has ``addresses``, at most one of each IP version, and a default route for each.
    """

    name: str
    cable: str
    addresses: tuple[str, ...]
    mtu: int

    @property
    def place(self) -> tuple[object, ...]:
        return ("InnerNamespace", self.name)

    def do(self) -> None:
        namespace = path_of(self.name)
        if not namespace.exists():
            run(["ip", "netns", "add", namespace.name])
        if not exists(self.cable):
            run(
                [
                    *("ip", "link", "add", self.cable, "address", _MAC, "type", "veth"),
                    *("peer", "name", INNER_END, "address", _MAC, "netns", namespace.name),
                ]
            )
        run(["ip", "-batch", "-"], stdin=self._end(self.cable))
        inside = ["link set dev lo up\n", self._end(INNER_END)]
        for address in self.addresses:
            everything, nodad = ("::/0", " nodad") if ":" in address else ("0.0.0.0/0", "")
            inside.append(f"address replace {address} dev {INNER_END}{nodad}\n")
            inside.append(f"route replace {everything} dev {INNER_END}\n")
        run(["ip", "-n", namespace.name, "-batch", "-"], stdin="".join(inside))

    def undo(self) -> None:
        # Programs that still run inside keep the namespace, without a network.
        if exists(self.cable):
            run(["ip", "link", "del", self.cable])
        namespace = path_of(self.name)
        if namespace.exists():
            run(["ip", "netns", "del", namespace.name])

    def _end(self, ifname: str) -> str:
        return f"link set dev {ifname} arp off addrgenmode none mtu {self.mtu} up\n"


def path_of(name: str) -> Path:
    """The file that stands for a tunnel's namespace."""
    return _NAMESPACES / f"fs-{name}"


def processes(name: str) -> Iterator[int]:
    """The ids of the processes in the namespace of a tunnel."""
    try:
        wanted = path_of(name).stat()
    except FileNotFoundError:
        return
    for process in _PROC.glob("[0-9]*"):
        try:
            found = (process / "ns/net").stat()
        except OSError:
            continue  # it has ended
        if os.path.samestat(found, wanted):
            yield int(process.name)
