# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The records that a full node holds, under the ids by which full nodes compare them."""

from collections.abc import Iterable

from fs_net.core.batch import Outbox
from fs_net.core.judge import MAX_SKEW
from fs_net.core.reconcile import Snapshot
from fs_net.core.records import ProviderRecord, Signed
from fs_net.fullnode.gatherer import Gatherer

_FRESH = 5000  # ms for which sorted ids are used again if no record changed


class Held:
    """Sorts the ids again only after changes, however often somebody asks."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._sorted_at, self._changes = -_FRESH, -1
        self._snapshot = Snapshot(())
        self._records: dict[bytes, Signed[ProviderRecord]] = {}

    def snapshot(self, now: int) -> Snapshot:
        """Return the ids at ``now``, in ms; a change on the chain shows some seconds later.

        Records that are about to expire are left out, because others may see them as expired.
        """
        changes = self._gatherer.record_changes
        if changes != self._changes or not 0 <= now - self._sorted_at < _FRESH:
            self._sorted_at, self._changes = now, changes
            self._records = {
                candidate.entry.record.id: candidate.entry.record
                for record in self._gatherer.index.records
                if record.content.expires_at > now + MAX_SKEW
                and (candidate := self._gatherer.candidate(record.content.provider, now))
            }
            self._snapshot = Snapshot(self._records)
        return self._snapshot

    def get(self, ids: Iterable[bytes]) -> list[Signed[ProviderRecord]]:
        """Return the records with these ids that are held, each once."""
        return [self._records[each] for each in dict.fromkeys(ids) if each in self._records]

    def batches(self, ids: Iterable[bytes]) -> list[bytes]:
        """Return the same records as batches to send."""
        outbox = Outbox()
        for record in self.get(ids):
            outbox.add(record)
        return list(outbox.drain())
