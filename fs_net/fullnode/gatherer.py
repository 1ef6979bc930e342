# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a full node takes from its peers, and what it forwards. No IO: time is an argument.

Gossip is forwarded if all of its items are good or known already. If some are not, its forwarder is
to blame, and we would be if we forwarded it. The good items of such a batch leave with a batch of
our own.
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

# Items a second from one peer. It may forward the heartbeats of 10,000 providers, each sent by
# three full nodes. The burst is for the first exchange with a peer.
_RATE, _BURST = 6000.0, 24000.0

_GOOD_OR_KNOWN = frozenset({None, Reason.STALE})
_SURELY_BAD = frozenset({Reason.MALFORMED, Reason.OVERSIZED, Reason.BAD_SIGNATURE})


class Gatherer:
    """Judges what peers send, and keeps changes until others were told of them."""

    def __init__(
        self, chain: ChainView, network: bytes, *, rate: float = _RATE, burst: float = _BURST
    ) -> None:
        """``network`` is ``records.network_id``; ``rate`` and ``burst`` bound one peer's items."""
        self.index = Index()
        self.judge = Judge(self.index, chain, network, rate=rate, burst=burst, taken=self._take)
        self._chain, self._network = chain, network
        self._outbox = Outbox()
        self._taken: list[SignedContent] = []  # good items of the batch that is being judged
        self._changed: set[bytes] = set()
        self.record_changes = 0  # how often a record was taken or forgotten
        self._banned: set[bytes] = set()
        # The key that signed each held item, because the Registry may have another key by now.
        self._signers: dict[type, dict[bytes, bytes]] = {ProviderRecord: {}, Heartbeat: {}}

    def take_gossip(self, peer: bytes, data: bytes, now: int) -> Decision:
        """Judge a batch that ``peer`` forwarded; ``now`` is in ms since the epoch."""
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
        """Judge a batch that was delivered, or that we fetched; see ``batch.take_untrusted``."""
        reasons = self._judge(peer, data, now)
        self._tell_of_taken()
        return reasons

    def restore(self, records: Iterable[bytes], now: int) -> None:
        """Judge again what an earlier run had taken; invalid records are left out."""
        judge = Judge(self.index, self._chain, self._network, taken=self._take)
        for raw in records:
            judge.record(raw[:32], raw, now)  # each record is its own source: nobody floods here
        self._taken.clear()

    def blame(self, peer: bytes, reason: Reason, now: int) -> None:
        """Count another fault of a peer."""
        self.judge.blame(peer, reason, now)
        self._note_ban(peer, now)

    def batches(self) -> Iterator[bytes]:
        """Yield the batches for other full nodes, each once."""
        return self._outbox.drain()

    def changed(self) -> set[bytes]:
        """Return the providers whose items were taken or forgotten since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def banned(self) -> set[bytes]:
        """Return the peers that were banned since the last call; close their connections."""
        banned, self._banned = self._banned, set()
        return banned

    def expire(self, now: int) -> None:
        """Forget everything that is too old to matter."""
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
        """Return what is valid about a provider: a record and keys that the chain backs now."""
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
        assert listing is not None, "the judge takes only items of listed providers"
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
