"""What several full nodes answered: judged, merged, ranked, and compared.

Each record and heartbeat is judged here, against the chain, so a node cannot forge; it can only
withhold, and show what has been replaced.  Who asks several sees that, and of which.  What a node
measured, the uptime, is its word alone: the median counts, so that a minority moves nothing.
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

MAX_PAGES = 8  # of one node
MAX_CANDIDATES = MAX_PAGES * MAX_FOUND
GRACE = 60_000  # ms that a record may take to reach every honest node
DHT = b"dht"  # stands for a node: whoever stores a record there


class Listings:
    """The chain, as far as it was asked: a ``ports.ChainView``."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Listing | None] = {}

    def learn(self, found: Mapping[bytes, Listing | None]) -> None:
        """What the chain says of some providers; None: not listed."""
        self._known.update(found)

    def listing(self, provider: bytes) -> Listing | None:
        return self._known.get(provider)

    def unknown(self, providers: Iterable[bytes]) -> list[bytes]:
        """Those that the chain was not asked about yet, each once."""
        return [each for each in dict.fromkeys(providers) if each not in self._known]


@dataclass(frozen=True, slots=True)
class Report:
    """How one node's answer compares with those of all."""

    node: bytes
    shown: int  # providers that were believed
    total: int  # as it says
    is_complete: bool  # whether it told all that it has
    missing: tuple[bytes, ...]  # live, long known, shown by others; empty where not complete
    older: tuple[bytes, ...]  # of which it shows a record that was replaced long ago
    refused: dict[Reason, int]  # what it showed that does not hold

    @property
    def is_suspect(self) -> bool:
        """Whether a user should hear of it."""
        return bool(self.missing or self.older or self.refused)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The best first, and a report on each node that answered, in the order of asking."""

    matches: list[Match]
    reports: list[Report]


@dataclass(slots=True)
class _Told:
    """By one node."""

    judge: Judge
    uptimes: dict[bytes, int] = field(default_factory=dict)
    pages: int = 0
    total: int = 0
    is_complete: bool = False


class Discovery:
    """One search.  Ask each node ``question`` after ``question`` until there is none."""

    def __init__(self, wishes: Wishes, order: Order, network: bytes, chain: Listings) -> None:
        """``network`` is ``records.network_id``; ``chain`` learns before answers are taken."""
        self._wishes, self._order = wishes, order
        # Nodes measure differently: to ask by uptime would make honest ones disagree.
        self._asked = replace(wishes, min_uptime=0)
        self._network, self._chain = network, chain
        self._told: dict[bytes, _Told] = {}

    def question(self, node: bytes, now: int) -> Find | None:
        """What to ask a node next; None when it told all, or as much as is wanted."""
        told = self._told.get(node)
        if told is None:
            return Find.of(self._asked, order=self._order)
        if told.is_complete or told.pages >= MAX_PAGES or told.judge.is_banned(node, now):
            return None
        return Find.of(self._asked, told.pages * MAX_FOUND, self._order)

    def take(self, node: bytes, found: Found, now: int) -> None:
        """The answer to ``question``; ``now`` in ms since the epoch."""
        told = self._of(node)
        told.pages += 1
        told.total = found.total
        # A page that is not full is the last, whatever total is claimed.
        told.is_complete = len(found.hits) < MAX_FOUND or told.pages * MAX_FOUND >= found.total
        for hit in found.hits:
            self._judge(node, told, hit, now)

    def take_record(self, raw: bytes, now: int) -> None:
        """A record of the DHT, which says nothing of heartbeats and keeps no list."""
        self._of(DHT).judge.record(DHT, raw, now)

    def outcome(self, now: int) -> Outcome:
        """All answers so far, as one ranking and a comparison."""
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
            # The DHT alone knows of nobody's heartbeats.
            wishes = replace(wishes, min_free_slots=0)
        return Outcome(match(known, wishes, self._order), reports)

    def _of(self, node: bytes) -> _Told:
        """Each node has a judge of its own, so that what one says costs no other."""
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
        refused.pop(Reason.STALE, None)  # pages that moved repeat some
        return Report(
            *(node, len(records), told.total, told.is_complete),
            *(tuple(missing), tuple(older), refused),
        )


def providers_of(found: Found) -> list[bytes]:
    """Whom an answer is about, as far as it can be read; nothing of it is checked."""
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
