# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Shows the found providers to people and programs, and warns of odd answers of full nodes."""

from collections.abc import Sequence
from typing import Any

from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_net.core.matching import MILLION, Match
from fs_net.core.records import ProviderRecord, Service
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.text import align
from fs_tunnel.roles.client.finding import Finding, NodeSaid
from fs_tunnel.roles.client.wishes import SERVICES

_HEAD = (
    *("PROVIDER", "COUNTRY", "PER GIB", "PER HOUR"),
    *("UPTIME", "FREE", "STAKE", "SERVICES", "SCORE"),
)


def table(matches: Sequence[Match], token: Token) -> str:
    """All providers, the best first."""
    return "\n".join(align([_HEAD, *(_row(each, token) for each in matches)]))


def short_table(matches: Sequence[Match], most: int, token: Token) -> str:
    """The best few providers, numbered, with reasons in words."""
    rows = [
        (
            f"{number}.",
            str(Address(each.candidate.provider)),
            _country(each),
            _price(each.candidate.entry.record.content, token),
            ", ".join(reasons(each, matches, token)),
        )
        for number, each in enumerate(matches[:most], 1)
    ]
    return "\n".join(align(rows))


def reasons(match: Match, among: Sequence[Match], token: Token) -> list[str]:
    """What speaks for one of several providers, and what is not known about it."""
    candidate = match.candidate
    said = []
    if len(among) > 1 and _cost(match) == min(map(_cost, among)):
        said.append(f"cheapest of {len(among)}")
    said.append(
        "uptime not known" if candidate.uptime is None else f"up {_share(candidate.uptime)}"
    )
    if candidate.entry.heartbeat is None:
        said.append("not known to be live")
    else:
        said.append(f"{candidate.free_slots} of {candidate.entry.record.content.slots} places free")
    said.append(f"stake {token.format(candidate.listing.stake)}")
    return said


def to_json(finding: Finding, token: Token) -> dict[str, Any]:
    """What was found, as JSON without the number of its schema."""
    return {
        "providers": [_provider_json(each, token) for each in finding.matches],
        "is_partial": finding.is_partial,
        "full_nodes": [_node_json(each) for each in finding.nodes],
        "unanswered": finding.failed,
        "used_dht": finding.used_dht,
    }


def oddities(finding: Finding) -> list[str]:
    """Warnings: how full nodes disagree, and what could not be compared."""
    said = [
        f"full node {node.name} {' and '.join(odd)}"
        for node in finding.nodes
        if (odd := list(_oddities_of(node)))
    ]
    if finding.failed:
        said.append(f"no answer from {', '.join(finding.failed)}")
    if finding.is_partial:
        said.append("there are more providers than these; ask for fewer, or use another --order")
    if finding.used_dht:
        said.append("this is from the DHT alone, which does not know which providers are live")
    elif len(finding.nodes) == 1:
        said.append("only one full node answered, so that nothing shows what it withholds")
    return said


def _oddities_of(node: NodeSaid) -> list[str]:
    said = []
    if node.missing:
        of = node.shown + len(node.missing)
        said.append(f"does not show {len(node.missing)} of {of} live providers")
    if node.older:
        said.append(f"shows {len(node.older)} records that were replaced")
    if node.refused:
        reasons = ", ".join(f"{why}: {count}" for why, count in sorted(node.refused.items()))
        said.append(f"shows {sum(node.refused.values())} invalid records ({reasons})")
    return said


def _row(match: Match, token: Token) -> tuple[str, ...]:
    candidate = match.candidate
    record, uptime = candidate.entry.record.content, candidate.uptime
    is_heard = candidate.entry.heartbeat is not None
    return (
        str(Address(candidate.provider)),
        _country(match),
        token.format(record.price_per_gib),
        token.format(record.price_per_hour),
        "-" if uptime is None else _share(uptime),
        f"{candidate.free_slots if is_heard else '-'}/{record.slots}",
        token.format(candidate.listing.stake),
        ",".join(_services(record)) or "-",
        f"{match.score * 100 // MILLION}",
    )


def _country(match: Match) -> str:
    candidate = match.candidate
    claimed = candidate.entry.record.content.claimed_country.decode("ascii")
    verified = candidate.listing.verified_country.decode("ascii")
    if not verified:
        return f"{claimed} (claimed)"
    return f"{verified} (verified)" if verified == claimed else f"{verified} (not {claimed})"


def _price(record: ProviderRecord, token: Token) -> str:
    parts = [
        f"{token.format(amount)}/{unit}"
        for amount, unit in ((record.price_per_gib, "GiB"), (record.price_per_hour, "h"))
        if amount
    ]
    return " + ".join(parts) or "nothing"


def _share(parts: int) -> str:
    """A share in percent, rounded down so that 100 % means always."""
    return f"{parts // 1000 / 10:g} %"


def _cost(match: Match) -> int:
    record = match.candidate.entry.record.content
    return record.price_per_gib + record.price_per_hour


def _services(record: ProviderRecord) -> list[str]:
    return [name for name, each in SERVICES.items() if Service(record.services) & each]


def _provider_json(match: Match, token: Token) -> dict[str, Any]:
    candidate = match.candidate
    entry, listing = candidate.entry, candidate.listing
    record, heartbeat = entry.record.content, entry.heartbeat
    return {
        "provider": str(Address(candidate.provider)),
        "claimed_country": record.claimed_country.decode("ascii"),
        "verified_country": listing.verified_country.decode("ascii") or None,
        "per_gib": amount_json(record.price_per_gib, token),
        "per_hour": amount_json(record.price_per_hour, token),
        "uptime_ppm": candidate.uptime,
        "free_slots": heartbeat.content.free_slots if heartbeat else None,
        "slots": record.slots,
        "stake": amount_json(listing.stake, token),
        "services": _services(record),
        "refused_ports": [[each.first, each.last] for each in record.refused_ports],
        "sales": [str(each) for each in record.sales],
        "endpoints": [str(each) for each in record.endpoints],
        "quote_key": str(Address(record.quote_key)),
        "score_ppm": match.score,
        "facets_ppm": {facet.value: parts for facet, parts in match.facets.items()},
        "record": entry.record.raw.hex(),
        "heartbeat": heartbeat.raw.hex() if heartbeat else None,
    }


def _node_json(node: NodeSaid) -> dict[str, Any]:
    return {
        "name": node.name,
        "shown": node.shown,
        "total": node.total,
        "is_complete": node.is_complete,
        "missing": [str(each) for each in node.missing],
        "older": [str(each) for each in node.older],
        "refused": node.refused,
    }
