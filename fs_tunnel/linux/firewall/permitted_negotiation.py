# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Permit a client to negotiate with a provider while its tunnel is dead, for a time.

The provider's address and TCP port are an element of the sets that ``kill_switch`` makes.  Only
marked packets pass, and a process needs CAP_NET_ADMIN to mark one.  So the agent gets a finished
connection from root (``connect_marked``).  Nobody else can use the hole, not even the same user,
and no routing rule for users is needed.
"""

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from fs_tunnel.linux.command import run
from fs_tunnel.linux.firewall.nft import check_table
from fs_tunnel.linux.firewall.permitted_endpoint import check_host
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import SystemChangeError, UsageError

LONGEST = 60  # seconds


@dataclass(frozen=True, slots=True)
class PermittedNegotiation(Change):
    """An address and a TCP port, in the kill switch of one ``table``, for so many ``seconds``.

    UsageError for a malformed value, or if the address is not that of one remote host.
    """

    table: str
    address: str
    port: int
    seconds: int

    def __post_init__(self) -> None:
        check_table(self.table)
        check_host(self.address, self.port)
        if not 0 < self.seconds <= LONGEST:
            raise UsageError(f"a negotiation lasts at most {LONGEST} s")

    def do(self) -> None:
        # If we added it again, nft would keep the old timeout.
        self.undo()
        run(["nft", "add", "element", *self._element(f" timeout {self.seconds}s")])

    def undo(self) -> None:
        # It may have timed out, or the whole table may be gone.
        try:
            run(["nft", "get", "element", *self._element()])
        except SystemChangeError:
            return
        run(["nft", "delete", "element", *self._element()])

    def _element(self, timeout: str = "") -> tuple[str, ...]:
        version = ip_address(self.address).version
        element = f"{{ {self.address} . {self.port}{timeout} }}"
        return "inet", self.table, f"negotiation{version}", element


def connect_marked(address: str, port: int, mark: int, within: float) -> socket.socket:
    """A TCP connection past the tunnel; OSError if it takes longer than ``within`` seconds."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.settimeout(within)
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock
