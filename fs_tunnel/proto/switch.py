# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the peers of one device share: where they write, and the services that they use.

The switch does not know what a peer is: the device says so with the type parameter.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from fs_tunnel.proto.handshake import Entropy, Handshake
from fs_tunnel.proto.indices import IndexTable
from fs_tunnel.proto.path import CreditLow, EndpointMoved, Outgoing, PacketPath
from fs_tunnel.proto.session import Session

P = TypeVar("P")


class KeyLogEntry(NamedTuple):
    """The secrets that decrypt a capture of one handshake; for debugging only.

    Each field has 32 bytes.
    """

    local_static: bytes
    remote_static: bytes
    local_ephemeral: bytes
    preshared: bytes


@dataclass(slots=True)
class Switch(Generic[P]):
    """What the peers of one device share; ``P`` is the type of a peer."""

    entropy: Entropy
    wall_time_ns: Callable[[], int]  # Unix time, for TAI64N and for people
    path: PacketPath
    indices: IndexTable[tuple[P, Session | None]]  # None: the handshake is not complete
    outgoing: list[Outgoing] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)
    notices: list[tuple[P, CreditLow | EndpointMoved]] = field(default_factory=list)
    is_up: bool = False  # while down, nothing is sent and no timer starts
    key_log: Callable[[KeyLogEntry], None] | None = None

    def log_keys(self, handshake: Handshake, ephemeral: bytes | None) -> None:
        """Write the secrets of a handshake to the key log, if there is one.

        ``ephemeral`` is our private ephemeral key of that handshake, 32 bytes.
        """
        if self.key_log is not None and ephemeral is not None and handshake.local is not None:
            self.key_log(
                KeyLogEntry(
                    handshake.local.private, handshake.remote, ephemeral, handshake.preshared
                )
            )
