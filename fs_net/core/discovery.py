# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The answers of several full nodes: judged, merged, ranked and compared.

Each record and heartbeat is judged here against the chain, so a full node cannot forge one. It can
only withhold records, or show records that were replaced. A client that asks several full nodes
sees this, and sees which of them did it. The uptime is a full node's own measurement. The median
counts, so that a minority cannot change it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median_low

from fs_net.core.index import Index
from fs_net.core.judge import Judge
from fs_net.core.matching import MILLION, Candidate, Match, Order, Wishes, match, suits
from fs_net.core.questions import MAX_FOUND, UNMEASURED, Find, Found, Hit
from fs_net.core.records import Heartbeat, ProviderRecord, parse_untrusted
from fs_net.errors import Reason, Refused
from fs_net.ports import Listing

MAX_PAGES = 8  # pages of one full node
MAX_CANDIDATES = MAX_PAGES * MAX_FOUND
GRACE = 60_000  # ms that a record may take to reach every honest full node
DHT = b"dht"  # takes the place of a full node's id for records from the DHT


class Listings:
    """The listings that were read from the chain so far: a ``ports.ChainView``."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Listing | None] = {}

    def learn(self, found: Mapping[bytes, Listing | None]) -> None:
        """Add what the chain says about some providers; None means that it lists none."""
        self._known.update(found)

    def listing(self, provider: bytes) -> Listing | None:
        return self._known.get(provider)

    def unknown(self, providers: Iterable[bytes]) -> list[bytes]:
        """Return the providers that the chain was not asked about yet, each once."""
        return [each for each in dict.fromkeys(providers) if each not in self._known]


@dataclass(frozen=True, slots=True)
class Report:
    """How one full node's answer compares with the answers of all."""

    node: bytes
    shown: int  # providers that were believed
    total: int  # providers that the full node claims to have
    is_complete: bool  # whether it sent all pages
    missing: tuple[bytes, ...]  # live and known for long, but shown by others only
    older: tuple[bytes, ...]  # providers for which it shows a record replaced long ago
    refused: dict[Reason, int]  # items that broke a rule

    @property
    def is_suspect(self) -> bool:
        """Whether the user should be told about this full node."""
        return bool(self.missing or self.older or self.refused)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The best providers first, and a report on each full node in the order of asking."""

    matches: list[Match]
    reports: list[Report]


@dataclass(slots=True)
class _Told:
    """What one full node has told so far."""

    judge: Judge
    uptimes: dict[bytes, int] = field(default_factory=dict)
    pages: int = 0
    total: int = 0
    is_complete: bool = False


class Discovery:
    """One search. Ask each full node one ``question`` after another until there is none."""

    def __init__(self, wishes: Wishes, order: Order, network: bytes, chain: Listings) -> None:
        """``network`` is ``records.network_id``; ``chain`` learns listings before ``take``."""
        self._wishes, self._order = wishes, order
        # Full nodes measure differently: asking by uptime would make honest ones disagree.
        self._asked = replace(wishes, min_uptime=0)
        self._network, self._chain = network, chain
        self._told: dict[bytes, _Told] = {}

    def question(self, node: bytes, now: int) -> Find | None:
        """Return the next question for a full node, or None if it has told enough."""
        told = self._told.get(node)
        if told is None:
            return Find.of(self._asked, order=self._order)
        if told.is_complete or told.pages >= MAX_PAGES or told.judge.is_banned(node, now):
            return None
        return Find.of(self._asked, told.pages * MAX_FOUND, self._order)

    def take(self, node: bytes, found: Found, now: int) -> None:
        """Take the answer to ``question``; ``now`` is in ms since the epoch."""
        told = self._of(node)
        told.pages += 1
        told.total = found.total
        # A page that is not full is the last, whatever total is claimed.
        told.is_complete = len(found.hits) < MAX_FOUND or told.pages * MAX_FOUND >= found.total
        for hit in found.hits:
            self._judge(node, told, hit, now)

    def take_record(self, raw: bytes, now: int) -> None:
        """Take a record from the DHT, which holds no heartbeats and no lists."""
        self._of(DHT).judge.record(DHT, raw, now)

    def outcome(self, now: int) -> Outcome:
        """Combine all answers so far into one ranking and a comparison."""
        merged = Index()
        for told in self._told.values():
            _merge(merged, told.judge.index, self._chain)
        known = [
            Candidate(entry, listing, self._uptime(entry.record.content.provider))
            for entry in merged.entries(now)
            if (listing := self._chain.listing(entry.record.content.provider)) is not None
        ]
        long_known = [each for each in known if each.entry.record.content.sequence + GRACE <= now]
        reports = [
            self._compare(node, told, long_known)
            for node, told in self._told.items()
            if node != DHT
        ]
        wishes = self._wishes
        if not reports:
            # Only the DHT answered, and it holds no heartbeats: nobody has free slots then.
            wishes = replace(wishes, min_free_slots=0)
        return Outcome(match(known, wishes, self._order), reports)

    def _of(self, node: bytes) -> _Told:
        """Return the state of one full node; each has its own judge, so that none costs another."""
        if node not in self._told:
            judge = Judge(Index(MAX_CANDIDATES), self._chain, self._network)
            self._told[node] = _Told(judge)
        return self._told[node]

    def _judge(self, node: bytes, told: _Told, hit: Hit, now: int) -> None:
        judge = told.judge
        record = judge.record(node, hit.record, now)
        if record.said is None:
            return
        provider = record.said.content.provider
        if hit.heartbeat:
            try:
                is_its_own = parse_untrusted(Heartbeat, hit.heartbeat).content.provider == provider
            except Refused as refused:
                judge.blame(node, refused.reason, now)
                return
            if is_its_own:
                judge.heartbeat(node, hit.heartbeat, now)
            else:
                judge.blame(node, Reason.MALFORMED, now)
        if hit.uptime <= MILLION:
            told.uptimes[provider] = hit.uptime
        elif hit.uptime != UNMEASURED:
            judge.blame(node, Reason.MALFORMED, now)

    def _uptime(self, provider: bytes) -> int | None:
        said = [told.uptimes[provider] for told in self._told.values() if provider in told.uptimes]
        return median_low(said) if said else None

    def _compare(self, node: bytes, told: _Told, long_known: list[Candidate]) -> Report:
        records = told.judge.index.records
        missing, older = [], []
        for each in long_known:
            held = records.get(each.provider)
            if held is not None and held.content.sequence < each.entry.record.content.sequence:
                older.append(each.provider)
            elif held is None and told.is_complete and suits(each, self._asked):
                missing.append(each.provider)
        refused = dict(told.judge.refused)
        refused.pop(Reason.STALE, None)  # the list may shift between pages, and repeat items
        return Report(
            *(node, len(records), told.total, told.is_complete),
            *(tuple(missing), tuple(older), refused),
        )


def providers_of(found: Found) -> list[bytes]:
    """Return the providers in an answer as far as they can be read; nothing is checked."""
    providers = []
    for hit in found.hits:
        try:
            providers.append(parse_untrusted(ProviderRecord, hit.record).content.provider)
        except Refused:
            continue
    return providers


def _merge(merged: Index, index: Index, chain: Listings) -> None:
    for record in index.records:
        listing = chain.listing(record.content.provider)
        merged.records.add(record, listing.stake if listing else 0)
    for heartbeat in index.heartbeats:
        listing = chain.listing(heartbeat.content.provider)
        merged.heartbeats.add(heartbeat, listing.stake if listing else 0)
