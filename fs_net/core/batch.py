# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A batch: many signed records and heartbeats that full nodes send each other at once.

Nobody vouches for a batch. Each item carries its own signature and is judged by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from fs_net.core.judge import Judge
from fs_net.core.records import MAX_SIGNED, ProviderRecord, SignedContent
from fs_net.errors import Reason
from fs_wire.errors import Malformed
from fs_wire.schema import BytesUpTo, ListOf, from_bytes_untrusted, to_bytes

MAX_BATCH = 32 * 1024  # bytes
MAX_ITEMS = 256


def topic(network: bytes) -> str:
    """The topic of a network's batches in gossip; ``network`` is ``records.network_id``."""
    return f"/flowshield/{network.hex()[:16]}/batches/1"


_Signed = Annotated[tuple[bytes, ...], ListOf(BytesUpTo(MAX_SIGNED), MAX_ITEMS)]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch in its wire format."""

    records: _Signed
    heartbeats: _Signed


class Outbox:
    """What was taken since the last batch; only the latest item of each provider is kept."""

    __slots__ = ("_heartbeats", "_records")

    def __init__(self) -> None:
        self._records: dict[bytes, bytes] = {}
        self._heartbeats: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._records) + len(self._heartbeats)

    def add(self, said: SignedContent) -> None:
        """Send this item to others with the next batches."""
        content = said.content
        kept = self._records if isinstance(content, ProviderRecord) else self._heartbeats
        kept[content.provider] = said.raw

    def drain(self) -> Iterator[bytes]:
        """Yield everything as batches of the allowed size, records first, and empty the outbox."""
        told = [(said, True) for said in self._records.values()]
        told += [(said, False) for said in self._heartbeats.values()]
        self._records, self._heartbeats = {}, {}
        while told:
            count = _how_many_fit(said for said, _ in told)
            now, told = told[:count], told[count:]
            yield to_bytes(
                Batch(
                    tuple(said for said, is_record in now if is_record),
                    tuple(said for said, is_record in now if not is_record),
                )
            )


def take_untrusted(judge: Judge, peer: bytes, data: bytes, now: int) -> list[Reason | None]:
    """Judge all items of a batch in order; each gives a reason, or None if it was taken.

    Bytes that are no batch give one reason. If the peer is banned meanwhile, the rest is not
    judged.
    """
    if len(data) > MAX_BATCH:
        judge.blame(peer, Reason.OVERSIZED, now)
        return [Reason.OVERSIZED]
    try:
        batch = from_bytes_untrusted(Batch, data, MAX_BATCH)
    except Malformed:
        judge.blame(peer, Reason.MALFORMED, now)
        return [Reason.MALFORMED]
    reasons: list[Reason | None] = []
    for reason in chain(
        (judge.record(peer, raw, now).reason for raw in batch.records),
        (judge.heartbeat(peer, raw, now).reason for raw in batch.heartbeats),
    ):
        reasons.append(reason)
        if reason is Reason.BANNED:
            break
    return reasons


def _how_many_fit(told: Iterator[bytes]) -> int:
    size = 16  # bytes of the arrays around the items
    for count, said in enumerate(told):
        size += len(said) + 3
        if count == MAX_ITEMS or size > MAX_BATCH:
            return count
    return count + 1
