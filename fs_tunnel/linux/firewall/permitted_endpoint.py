# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Permit one more endpoint: the kill switch lets the tunnel's own datagrams go there.

The endpoint is an element of the sets that ``kill_switch`` makes.  Only marked datagrams pass.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from fs_tunnel.linux.command import run
from fs_tunnel.linux.firewall.nft import check_table
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import SystemChangeError, UsageError


@dataclass(frozen=True, slots=True)
class PermittedEndpoint(Change):
    """An address and a UDP port, in the kill switch of one ``table``.

    UsageError for a malformed value, or if the address is not that of one remote host.
    """

    table: str
    address: str
    port: int

    def __post_init__(self) -> None:
        check_table(self.table)
        check_host(self.address, self.port)

    def prepared(self) -> Self:
        # To undo it would close what the tunnel's own file opened.
        if self.is_there():
            raise SystemChangeError(f"{self.address} is permitted already; leave it as it is")
        return self

    def do(self) -> None:
        run(["nft", "add", "element", *self._element()])

    def undo(self) -> None:
        # If the whole table is gone, so is the element.
        if self.is_there():
            run(["nft", "delete", "element", *self._element()])

    def is_there(self) -> bool:
        """Whether some change permits it."""
        try:
            run(["nft", "get", "element", *self._element()])
        except SystemChangeError:
            return False
        return True

    def _element(self) -> tuple[str, ...]:
        version = ip_address(self.address).version
        element = f"{{ {self.address} . {self.port} }}"
        return "inet", self.table, f"endpoints{version}", element


def check_host(text: str, port: int) -> None:
    """Raise UsageError unless this is the address of one remote host, and a port."""
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if (
        address is None
        or str(address) != text
        or getattr(address, "scope_id", None)
        or address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_reserved
    ):
        raise UsageError("an endpoint has the address of one host, such as 192.0.2.1")
    if not 0 < port < 1 << 16:
        raise UsageError("an endpoint has a port from 1 to 65535")
