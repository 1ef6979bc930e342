"""What the peers of one device share: where they write, and what they may draw on."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fs_tunnel.proto.handshake import Entropy
from fs_tunnel.proto.indices import IndexTable
from fs_tunnel.proto.path import CreditLow, EndpointMoved, Outgoing, PacketPath
from fs_tunnel.proto.session import Session

if TYPE_CHECKING:
    from fs_tunnel.proto.peer import Peer


class KeyLogEntry(NamedTuple):
    """The secrets with which a capture of one handshake can be read: for debugging only."""

    local_static: bytes
    remote_static: bytes
    local_ephemeral: bytes
    preshared: bytes


@dataclass(slots=True)
class Switch:
    """What the peers of one device share."""

    entropy: Entropy
    wall_time_ns: Callable[[], int]  # Unix time, for TAI64N and for telling people
    path: PacketPath
    indices: "IndexTable[tuple[Peer, Session | None]]"  # None: a handshake under way
    outgoing: list[Outgoing] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)
    notices: "list[tuple[Peer, CreditLow | EndpointMoved]]" = field(default_factory=list)
    is_up: bool = False  # while down, nothing is sent and no timer starts
    key_log: Callable[[KeyLogEntry], None] | None = None
