"""Messages on a stream: each behind its length, two bytes, big-endian."""

from fs_market.errors import MalformedMessage
from fs_wire.codec import MAX_BYTES

_HEADER = 2


def frame(message: bytes) -> bytes:
    """A message as it goes onto the stream; at most 4,096 bytes of it."""
    return len(message).to_bytes(_HEADER, "big") + message


class Unframer:
    """Cuts what comes from a stream; holds less than one message."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed_untrusted(self, data: bytes) -> list[bytes]:
        """The messages that are complete with ``data``.

        MalformedMessage where the next is too long, or empty: then nothing after it can be read.
        """
        self._held += data
        messages = []
        while len(self._held) >= _HEADER:
            length = int.from_bytes(self._held[:_HEADER], "big")
            if not 0 < length <= MAX_BYTES:
                raise MalformedMessage(f"a message of {length} bytes is announced; connect again")
            if len(self._held) < _HEADER + length:
                break
            messages.append(self._held[_HEADER : _HEADER + length])
            self._held = self._held[_HEADER + length :]
        return messages
