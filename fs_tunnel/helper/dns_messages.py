# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The bytes of DNS that a forwarder reads: a question, and whether an answer belongs to it.

Source: RFC 1035, section 4; RFC 5452, which says what a valid answer must match.
"""

from collections.abc import Collection
from dataclasses import dataclass
from struct import Struct

from fs_tunnel.proto.errors import MalformedMessage

MAX_QUERY_BYTES = 1024
SERVER_FAILURE, NO_SUCH_NAME = 2, 3  # RFC 1035, section 4.1.1

_header = Struct("!6H")  # id, flags, and how many of: questions, answers, authorities, additional
_MAX_LABEL = 63
_MAX_NAME = 255
_IS_ANSWER, _OPCODE, _TRUNCATED, _RECURSION_WANTED = 0x8000, 0x7800, 0x0200, 0x0100
_RECURSION_OFFERED = 0x0080


@dataclass(frozen=True, slots=True)
class Query:
    """A query. ``name`` is in lower case, without a dot at its end; ``question`` as it came."""

    data: bytes
    name: str
    question: bytes


def parse_query_untrusted(data: bytes) -> Query:
    """Parse what a client sent; MalformedMessage for anything but one plain question."""
    if not _header.size < len(data) <= MAX_QUERY_BYTES:
        raise MalformedMessage("a query of that length")
    _, flags, questions, answers, authorities, additional = _header.unpack_from(data)
    if flags & (_IS_ANSWER | _OPCODE | _TRUNCATED):
        raise MalformedMessage("no standard query")
    if (questions, answers, authorities) != (1, 0, 0) or additional > 2:  # EDNS, TSIG
        raise MalformedMessage("not one question alone")
    labels, at = [], _header.size
    while length := data[at]:
        end = at + 1 + length
        if length > _MAX_LABEL or end - _header.size >= _MAX_NAME or end >= len(data):
            raise MalformedMessage("a name that does not end")
        labels.append(data[at + 1 : end].decode("latin-1").lower())
        at = end
    end = at + 5  # the root, type and class
    if end > len(data):
        raise MalformedMessage("a question without type and class")
    return Query(data, ".".join(labels), data[_header.size : end])


def is_blocked(name: str, blocked: Collection[str]) -> bool:
    """Whether a name, or a domain that it is part of, is in ``blocked``."""
    while name:
        if name in blocked:
            return True
        name = name.partition(".")[2]
    return False


def with_id(query: Query, number: int) -> bytes:
    """The query to send on, with an id that its sender does not know."""
    return number.to_bytes(2, "big") + query.data[2:]


def reply(query: Query, code: int) -> bytes:
    """An answer without any records."""
    number, flags, *_ = _header.unpack_from(query.data)
    flags = _IS_ANSWER | flags & _RECURSION_WANTED | _RECURSION_OFFERED | code
    return _header.pack(number, flags, 1, 0, 0, 0) + query.question


def answer_untrusted(query: Query, number: int, data: bytes) -> bytes:
    """An answer to the query of ``with_id``, with the client's id; MalformedMessage for others."""
    if len(data) < _header.size + len(query.question):
        raise MalformedMessage("an answer that is too short")
    theirs, flags, questions, *_ = _header.unpack_from(data)
    question = data[_header.size : _header.size + len(query.question)]
    if (theirs, questions, question) != (number, 1, query.question) or not flags & _IS_ANSWER:
        raise MalformedMessage("an answer to something else")
    return query.data[:2] + data[2:]
