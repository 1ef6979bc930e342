# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Messages on a stream: the length, two bytes in big-endian order, precedes each message."""

from fs_market.errors import MalformedMessage
from fs_wire.codec import MAX_BYTES

_HEADER = 2


def frame(message: bytes) -> bytes:
    """Return a message of at most 4,096 bytes with its length before it."""
    return len(message).to_bytes(_HEADER, "big") + message


class Unframer:
    """Cuts the bytes of a stream into messages; it holds less than one message."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed_untrusted(self, data: bytes) -> list[bytes]:
        """Return the messages that ``data`` completes.

        Raise MalformedMessage if the next message is too long, or empty.  Nothing that follows in
        the stream can be read then.
        """
        self._held += data
        messages = []
        while len(self._held) >= _HEADER:
            length = int.from_bytes(self._held[:_HEADER], "big")
            if not 0 < length <= MAX_BYTES:
                raise MalformedMessage(
                    f"the other side announces a message of {length} bytes; connect again"
                )
            if len(self._held) < _HEADER + length:
                break
            messages.append(self._held[_HEADER : _HEADER + length])
            self._held = self._held[_HEADER + length :]
        return messages
