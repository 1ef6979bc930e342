"""What a full node takes of what comes in, and what it passes on.  Without IO: time is an argument.

Gossip is passed on where all of it is good or known.  Where a part is not, its forwarder is to
blame, and we would be if we passed it on: what was good of it leaves with a batch of our own.
"""

from collections.abc import Iterable, Iterator

from fs_net.bridge import Decision
from fs_net.core.batch import Outbox, take_untrusted
from fs_net.core.index import Entry, Index
from fs_net.core.judge import Judge, signer_of
from fs_net.core.matching import Candidate
from fs_net.core.records import Heartbeat, ProviderRecord, SignedContent
from fs_net.errors import Reason, Refused
from fs_net.ports import ChainView, Listing

# Items a second of one peer, which may forward the heartbeats of 10,000 providers, each told by
# three full nodes; and what a first exchange brings.
_RATE, _BURST = 6000.0, 24000.0

_GOOD_OR_KNOWN = frozenset({None, Reason.STALE})
_SURELY_BAD = frozenset({Reason.MALFORMED, Reason.OVERSIZED, Reason.BAD_SIGNATURE})


class Gatherer:
    """Judges what peers say, and remembers what changed until others were told."""

    def __init__(
        self, chain: ChainView, network: bytes, *, rate: float = _RATE, burst: float = _BURST
    ) -> None:
        """``network`` is ``records.network_id``; ``rate`` and ``burst`` are items of one peer."""
        self.index = Index()
        self.judge = Judge(self.index, chain, network, rate=rate, burst=burst, taken=self._take)
        self._chain, self._network = chain, network
        self._outbox = Outbox()
        self._taken: list[SignedContent] = []  # from what is being judged
        self._changed: set[bytes] = set()
        self.record_changes = 0  # how often a record was taken or forgotten
        self._banned: set[bytes] = set()
        # Which key signed what is held of a provider: another may stand in the Registry since.
        self._signers: dict[type, dict[bytes, bytes]] = {ProviderRecord: {}, Heartbeat: {}}

    def take_gossip(self, peer: bytes, data: bytes, now: int) -> Decision:
        """Judge a batch that ``peer`` forwarded; ``now`` in ms since the epoch."""
        reasons = set(self._judge(peer, data, now))
        if reasons <= _GOOD_OR_KNOWN:
            self._taken.clear()  # the mesh tells others
            return Decision.ACCEPT if None in reasons else Decision.IGNORE
        self._tell_of_taken()
        return Decision.REJECT if reasons & _SURELY_BAD else Decision.IGNORE

    def take_message(self, peer: bytes, message: bytes, now: int) -> None:
        """Judge a heartbeat that its provider sent to us alone."""
        self.judge.heartbeat(peer, message, now)
        self._note_ban(peer, now)
        self._tell_of_taken()

    def take_batch(self, peer: bytes, data: bytes, now: int) -> list[Reason | None]:
        """Judge a batch that we were sent, or have asked for; as ``batch.take_untrusted``."""
        reasons = self._judge(peer, data, now)
        self._tell_of_taken()
        return reasons

    def restore(self, records: Iterable[bytes], now: int) -> None:
        """Judge anew what an earlier run had taken; what does not hold any more is left out."""
        judge = Judge(self.index, self._chain, self._network, taken=self._take)
        for raw in records:
            judge.record(raw[:32], raw, now)  # each its own source: nobody floods here
        self._taken.clear()

    def blame(self, peer: bytes, reason: Reason, now: int) -> None:
        """Count what else a peer did wrong."""
        self.judge.blame(peer, reason, now)
        self._note_ban(peer, now)

    def batches(self) -> Iterator[bytes]:
        """What others are to be told, once."""
        return self._outbox.drain()

    def changed(self) -> set[bytes]:
        """Providers of which something was taken or forgotten since this was last asked."""
        changed, self._changed = self._changed, set()
        return changed

    def banned(self) -> set[bytes]:
        """Peers that were banned since this was last asked: connections to close."""
        banned, self._banned = self._banned, set()
        return banned

    def expire(self, now: int) -> None:
        """Forget what is too old to matter."""
        for kind, latest in (
            (ProviderRecord, self.index.records),
            (Heartbeat, self.index.heartbeats),
        ):
            gone = latest.expire(now)
            self._changed.update(gone)
            if kind is ProviderRecord:
                self.record_changes += len(gone)
            self._signers[kind] = {
                provider: signer
                for provider, signer in self._signers[kind].items()
                if latest.get(provider) is not None
            }

    def candidate(self, provider: bytes, now: int, uptime: int | None = None) -> Candidate | None:
        """What holds of a provider: of a record and keys that the chain backs at present."""
        entry, listing = self.index.entry(provider, now), self._chain.listing(provider)
        if entry is None or listing is None or not self._is_backed(entry.record, listing, now):
            return None
        if entry.heartbeat and not self._is_backed(entry.heartbeat, listing, now):
            entry = Entry(entry.record, None)
        return Candidate(entry, listing, uptime)

    def _is_backed(self, said: SignedContent, listing: Listing, now: int) -> bool:
        signer = self._signers[type(said.content)].get(said.content.provider)
        try:
            return signer == signer_of(said, listing, now)
        except Refused:
            return False

    def _judge(self, peer: bytes, data: bytes, now: int) -> list[Reason | None]:
        reasons = take_untrusted(self.judge, peer, data, now)
        self._note_ban(peer, now)
        return reasons

    def _take(self, said: SignedContent) -> None:
        provider = said.content.provider
        listing = self._chain.listing(provider)
        assert listing is not None, "the judge takes nothing of who is not listed"
        is_record = isinstance(said.content, ProviderRecord)
        signer = listing.node_key if is_record else listing.heartbeat_key
        self._signers[type(said.content)][provider] = signer
        self.record_changes += is_record
        self._changed.add(provider)
        self._taken.append(said)

    def _tell_of_taken(self) -> None:
        for said in self._taken:
            self._outbox.add(said)
        self._taken.clear()

    def _note_ban(self, peer: bytes, now: int) -> None:
        if self.judge.is_banned(peer, now):
            self._banned.add(peer)
