"""What passes between a program and its network process: CBOR frames on a socketpair.

The network process parses what strangers send, so its frames are checked like a stranger's: of
bounded length, arrays of a known head.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cbor2

from fs_wire.errors import Malformed

MAX_FRAME = 1 << 20  # bytes
DEFAULT_LISTEN = ("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1")
SESSION_CHUNK = 16 << 10  # bytes of a session in one frame
_HEADER = 4


class Kind(IntEnum):
    """What a frame is."""

    CALL = 1  # number, name, arguments: wants a result or a failure
    RESULT = 2  # number, value
    FAILURE = 3  # number, text
    TELL = 4  # name, arguments: wants nothing


class Decision(IntEnum):
    """What becomes of gossip."""

    ACCEPT = 1  # pass it on
    IGNORE = 2  # do not, and blame nobody
    REJECT = 3  # do not, and lower the forwarder's score


@dataclass(frozen=True, slots=True)
class Settings:
    """What a network process is started with; addresses are libp2p's multiaddrs.

    ``network`` is ``records.network_id``: nodes of other networks share neither DHT, nor topics,
    nor mDNS names.  A full node serves the DHT, meshes on ``topics`` and relays.
    """

    folder: str  # for the identity and known peers; made with mode 0700
    network: bytes
    listen: tuple[str, ...] = DEFAULT_LISTEN
    bootstrap: tuple[str, ...] = ()
    is_full_node: bool = False
    topics: tuple[str, ...] = ()
    finds_local_peers: bool = False  # by mDNS
    max_connections: int = 1000
    max_memory: int = 1 << 30  # bytes; beyond it the process ends, and is started again
    max_per_place: int = 64  # of those that come in from one IPv4 address or /64 of IPv6
    named: tuple[str, ...] = ()  # where one that listens nowhere may dial in its own networks

    def to_value(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def from_value(cls, value: list[Any]) -> "Settings":
        fields: list[Any] = [tuple(each) if type(each) is list else each for each in value]
        return cls(*fields)


def pack(*values: Any) -> bytes:
    """A frame; ValueError where it is too long to be taken."""
    body = cbor2.dumps(values)
    if len(body) > MAX_FRAME:
        raise ValueError(f"a frame of {len(body)} bytes")
    return len(body).to_bytes(_HEADER, "big") + body


class Unpacker:
    """Cuts a stream into frames; holds less than one."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed_untrusted(self, data: bytes) -> list[list[Any]]:
        """The frames that are complete with ``data``; Malformed where one is none."""
        self._held += data
        frames = []
        while len(self._held) >= _HEADER:
            length = int.from_bytes(self._held[:_HEADER], "big")
            if length > MAX_FRAME:
                raise Malformed("a frame is too long; start again")
            if len(self._held) < _HEADER + length:
                break
            frames.append(_parse(bytes(self._held[_HEADER : _HEADER + length])))
            del self._held[: _HEADER + length]
        return frames


def _parse(body: bytes) -> list[Any]:
    try:
        frame = cbor2.loads(body, max_depth=6)
    except (cbor2.CBORError, ValueError, RecursionError):
        frame = None
    if type(frame) is not list or len(frame) < 3 or frame[0] not in set(Kind):
        raise Malformed("a frame is none; start again")
    return frame
