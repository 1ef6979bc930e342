# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Canonical CBOR with few types: every value has exactly one byte string.

Values are numbers, byte strings, booleans, and arrays of values.  There are no maps, floats, tags
or texts.  So nothing needs an order or a normal form, and no text of a stranger reaches a
terminal.  A value that was decoded must give the same bytes again.  Source: RFC 8949, section
4.2.1.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import cbor2

from fs_wire.errors import Malformed

MAX_BYTES = 4096
MAX_DEPTH = 4

Value = int | bytes | bool | list[Any]


def encode(value: Value) -> bytes:
    """Return the bytes of a value, in the shortest form and with definite lengths."""
    return cbor2.dumps(value, canonical=True)


def decode_untrusted(data: bytes, most: int = MAX_BYTES) -> Value:
    """Return the value that ``encode`` turns into exactly these bytes.

    Raise Malformed if there is none, or if there are more than ``most`` bytes.
    """
    if len(data) > most:
        raise _malformed(f"has {len(data)} bytes, but at most {most} are allowed")
    try:
        value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
        )
    except cbor2.CBORError:
        raise _malformed("is not CBOR, has tags, or exceeds a depth of 4") from None
    _check_types(value)
    if encode(value) != data:
        raise _malformed("is not in canonical form")
    return value  # type: ignore[no-any-return] # checked above


def _check_types(value: object) -> None:
    if type(value) is list:
        for each in value:
            _check_types(each)
    elif type(value) not in (int, bytes, bool):
        raise _malformed(f"contains a value of type {type(value).__name__}")


class _NoTags(Mapping[int, Callable[..., NoReturn]]):
    """Refuses every tag before its content becomes a value."""

    def __getitem__(self, tag: int) -> Callable[..., NoReturn]:
        return _refuse_tag

    def __iter__(self) -> NoReturn:
        raise NotImplementedError("the decoder looks tags up, and never lists them")

    def __len__(self) -> int:
        return 2**64


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("no tags")


def _malformed(why: str) -> Malformed:
    return Malformed(f"a message {why}; use the same version of the program on both sides")


_NO_TAGS = _NoTags()
