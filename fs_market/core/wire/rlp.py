# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""RLP, the form in which Ethereum takes transactions (Yellow Paper, appendix B); encoding alone.

The library of this name imports seven times as much code as a whole agent of ours.
"""

from collections.abc import Sequence

_TEXT, _LIST = 0x80, 0xC0  # the first bytes of an empty text and of an empty list
_SHORT = 55  # bytes; a longer item has its length in bytes of their own

Item = int | bytes | Sequence["Item"]


def encode(item: Item) -> bytes:
    """Encode a number from 0 on, a text of bytes, or a list of items.

    Raise OverflowError for a negative number.
    """
    if isinstance(item, int):
        item = _shortest(item)
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < _TEXT:
            return item
        return _head(_TEXT, len(item)) + item
    body = b"".join(map(encode, item))
    return _head(_LIST, len(body)) + body


def _head(empty: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes([empty + length])
    size = _shortest(length)
    return bytes([empty + _SHORT + len(size)]) + size


def _shortest(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
