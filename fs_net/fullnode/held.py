"""The records that a full node holds, by what other nodes compare: their ids."""

from collections.abc import Iterable

from fs_net.core.batch import Outbox
from fs_net.core.judge import MAX_SKEW
from fs_net.core.reconcile import Snapshot
from fs_net.core.records import ProviderRecord, Signed
from fs_net.fullnode.gatherer import Gatherer

_FRESH = 5000  # ms that ids, once sorted, serve where no record changed


class Held:
    """Sorted when they changed, however often somebody asks."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._sorted_at, self._changes = -_FRESH, -1
        self._snapshot = Snapshot(())
        self._records: dict[bytes, Signed[ProviderRecord]] = {}

    def snapshot(self, now: int) -> Snapshot:
        """At ``now``, in ms; what the chain changed shows some seconds later.

        What expires at once is left out: others may take it for expired already.
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
        """Those that are held, each once."""
        return [self._records[each] for each in dict.fromkeys(ids) if each in self._records]

    def batches(self, ids: Iterable[bytes]) -> list[bytes]:
        """The same as batches to be sent."""
        outbox = Outbox()
        for record in self.get(ids):
            outbox.add(record)
        return list(outbox.drain())
