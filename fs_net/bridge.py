# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The messages between a program and its network process: CBOR frames on a socketpair.

The network process parses bytes from strangers. So the program checks the frames of its own network
process as strictly as a stranger's: their length is bounded, and each frame is an array with a
known kind.
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
    """The kind of a frame; the comments name the fields that follow it."""

    CALL = 1  # number, name, arguments: expects a result or a failure
    RESULT = 2  # number, value
    FAILURE = 3  # number, text
    TELL = 4  # name, arguments: expects no answer


class Decision(IntEnum):
    """What the network process does with a gossip message."""

    ACCEPT = 1  # forward it
    IGNORE = 2  # do not forward it, and blame nobody
    REJECT = 3  # do not forward it, and lower the forwarder's score


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a network process; addresses are libp2p multiaddrs.

    ``network`` is ``records.network_id``. Peers of different networks share no DHT, no topics and
    no mDNS names. A full node serves the DHT, joins the mesh of ``topics`` and relays circuits.
    """

    folder: str  # holds the identity and the known peers; it is created with mode 0700
    network: bytes
    listen: tuple[str, ...] = DEFAULT_LISTEN
    bootstrap: tuple[str, ...] = ()
    is_full_node: bool = False
    topics: tuple[str, ...] = ()
    finds_local_peers: bool = False  # by mDNS
    max_connections: int = 1000
    max_memory: int = 1 << 30  # bytes; a process that needs more ends and is started again
    max_per_source: int = 64  # incoming connections from one IPv4 address or IPv6 /64
    named: tuple[str, ...] = ()  # private addresses that a process without ``listen`` may dial

    def to_value(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def from_value(cls, value: list[Any]) -> "Settings":
        fields: list[Any] = [tuple(each) if type(each) is list else each for each in value]
        return cls(*fields)


def pack(*values: Any) -> bytes:
    """Encode one frame; raises ValueError if it is longer than MAX_FRAME."""
    body = cbor2.dumps(values)
    if len(body) > MAX_FRAME:
        raise ValueError(f"a frame of {len(body)} bytes")
    return len(body).to_bytes(_HEADER, "big") + body


class Unpacker:
    """Cuts a stream of bytes into frames, and keeps the start of an incomplete frame."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed_untrusted(self, data: bytes) -> list[list[Any]]:
        """Add ``data`` and return the frames that are complete.

        Raises Malformed if the bytes are no valid frame.
        """
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
        raise Malformed("the bytes are no valid frame; start again")
    return frame
