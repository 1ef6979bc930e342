# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two full nodes find out which records the other lacks; traffic grows with the difference only.

This is range-based set reconciliation. Both sides have sorted the ids of what they hold. One side
names a range, and a fingerprint of its ids in that range. If the other side's fingerprint differs,
it answers in one of two ways. For a large range it sends the fingerprints of 16 parts with equally
many ids each. For a small range it sends the ids themselves. The asked side answers listed ids with
its own ids. So the asking side learns everything: what to fetch, and what to deliver. Neither side
keeps state between messages.

Source: A. Meyer, Range-Based Set Reconciliation, 2023 (arXiv 2212.13567), section 3. The
fingerprint is a hash of all ids and not their sum. An attacker who makes ids could steer a sum.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from typing import Annotated

from fs_net.core.records import ID_LEN
from fs_net.errors import Reason, Refused
from fs_wire.errors import Malformed
from fs_wire.schema import (
    Bytes,
    BytesUpTo,
    Flag,
    ListOf,
    Record,
    from_bytes_untrusted,
    to_bytes,
)

MAX_MESSAGE = 32 * 1024  # bytes
_PARTS = 16
_FEW = 32  # a range with at most this many ids is listed and not fingerprinted
_MAX_RANGES = 256
_MAX_IDS = 1024  # in a message

Id = Annotated[bytes, Bytes(ID_LEN)]
Bound = Annotated[bytes, BytesUpTo(ID_LEN)]  # empty: the start or the end of all ids


@dataclass(frozen=True, slots=True)
class Range:
    """What one side holds from ``lower`` (included) to ``upper`` (excluded).

    It carries the ids if ``is_listed``, otherwise their fingerprint.
    """

    lower: Bound
    upper: Bound
    is_listed: Flag
    fingerprint: Annotated[bytes, BytesUpTo(ID_LEN)]
    ids: Annotated[tuple[bytes, ...], ListOf(Bytes(ID_LEN), _FEW)] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """Ranges to compare; it has none if both sides agree."""

    ranges: Annotated[tuple[Range, ...], ListOf(Record(Range), _MAX_RANGES)]


@dataclass(slots=True)
class Step:
    """The result of a message: an answer if there is more to compare, and what was learnt."""

    answer: bytes | None = None
    they_lack: list[bytes] = field(default_factory=list)
    we_lack: list[bytes] = field(default_factory=list)


class Snapshot:
    """The sorted ids that one side holds."""

    __slots__ = ("_ids",)

    def __init__(self, ids: Iterable[bytes]) -> None:
        self._ids = sorted(ids)

    def opening(self) -> bytes:
        """Return the first message."""
        return to_bytes(Message((self._summary(b"", b""),)))

    def answer_untrusted(self, data: bytes, *, is_asked: bool = False) -> Step:
        """Compare a message with our ids; raises Refused for invalid bytes.

        ``is_asked`` marks the side that did not begin: it answers ids with ids. Ranges that do not
        fit into the answer wait for the next comparison.
        """
        try:
            message = from_bytes_untrusted(Message, data, MAX_MESSAGE)
        except Malformed as error:
            raise Refused(Reason.MALFORMED, str(error)) from None
        _check_order(message.ranges)
        step, answers, named = Step(), list[Range](), 0
        for theirs in message.ranges:
            if theirs.is_listed:
                ours = self._within(theirs.lower, theirs.upper)
                step.they_lack += sorted(set(ours) - set(theirs.ids))
                step.we_lack += sorted(set(theirs.ids) - set(ours))
                if not is_asked or set(ours) == set(theirs.ids):
                    continue
                parts = _listed(theirs.lower, theirs.upper, ours)
            else:
                parts = self._parts(theirs)
            for part in parts:
                named += len(part.ids)
                if len(answers) == _MAX_RANGES or named > _MAX_IDS:
                    break
                answers.append(part)
        if answers:
            step.answer = to_bytes(Message(tuple(answers)))
        return step

    def _parts(self, theirs: Range) -> list[Range]:
        ours = self._within(theirs.lower, theirs.upper)
        if _fingerprint(ours) == theirs.fingerprint:
            return []
        if len(ours) <= _FEW:
            return _listed(theirs.lower, theirs.upper, ours)
        firsts = [ours[part * len(ours) // _PARTS] for part in range(1, _PARTS)]
        bounds = [theirs.lower, *firsts, theirs.upper]
        return [self._summary(lower, upper) for lower, upper in pairwise(bounds)]

    def _summary(self, lower: bytes, upper: bytes) -> Range:
        return Range(lower, upper, False, _fingerprint(self._within(lower, upper)))

    def _within(self, lower: bytes, upper: bytes) -> Sequence[bytes]:
        end = bisect_left(self._ids, upper) if upper else len(self._ids)
        return self._ids[bisect_left(self._ids, lower) : end]


def _listed(lower: bytes, upper: bytes, ids: Sequence[bytes]) -> list[Range]:
    """List the ids of a range, in ranges of at most ``_FEW`` ids."""
    cuts = [lower, *ids[_FEW::_FEW], upper]
    return [
        Range(start, end, True, b"", tuple(ids[part * _FEW : (part + 1) * _FEW]))
        for part, (start, end) in enumerate(pairwise(cuts))
    ]


def _check_order(ranges: Sequence[Range]) -> None:
    """Refuse overlapping ranges: each could name everything, and cost us everything again."""
    end: bytes | None = b""
    for each in ranges:
        if end is None or each.lower < end or (each.upper and each.upper < each.lower):
            raise Refused(Reason.MALFORMED, "ranges overlap; ask another full node")
        end = each.upper or None


def _fingerprint(ids: Sequence[bytes]) -> bytes:
    return sha256(b"".join(ids)).digest()[:ID_LEN]
