# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Finds providers. It judges again all that the agent brings, before anything relies on it.

The command trusts the agent no more than a full node: the agent can withhold records and misreport
measurements, and can forge nothing. This module asks the chain, so that the agent, which speaks to
strangers, knows no chain node.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fs_market.chain.chain import Chain
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_market.settings import MarketSettings, find, read_section
from fs_net.core.discovery import MAX_CANDIDATES, Discovery, Listings
from fs_net.core.matching import Match, Order, Wishes
from fs_net.core.questions import UNMEASURED, Find, Found, Hit, serialize
from fs_net.core.records import MAX_SIGNED, network_id
from fs_net.ports import Listing
from fs_net.settings import parse_network
from fs_tunnel.roles.chain_view import ChainListings
from fs_tunnel.roles.client.finding_agent import listing_to_json
from fs_tunnel.roles.conversation import conversation, senseless
from fs_tunnel.roles.market_files import agent_user
from fs_tunnel.roles.starts import FindStart, User
from fs_wire.errors import UsageError
from fs_wire.failure import printable

_MOST_ASKED_OF_THE_CHAIN = 2048  # providers in one search
_AT_ONCE = 8  # of these questions
_MAX_NAME = 256  # characters
_LONG = 2.0  # seconds for which a user waits without asking why


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. ``full_nodes`` are asked, or else those of the settings.

    ``provider`` is the account of one wanted provider; the other wishes then do not count.
    """

    wishes: Wishes
    order: Order = Order.BEST
    full_nodes: tuple[str, ...] = ()
    provider: Address | None = None


@dataclass(frozen=True, slots=True)
class NodeSaid:
    """A full node's answer beside all answers, see ``fs_net.core.discovery.Report``."""

    name: str
    shown: int
    total: int
    is_complete: bool
    missing: tuple[Address, ...]
    older: tuple[Address, ...]
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """Matches, the best first; ``failed`` names full nodes that did not answer, and says why."""

    matches: list[Match]
    nodes: list[NodeSaid]
    failed: dict[str, str]
    used_dht: bool

    @property
    def is_partial(self) -> bool:
        """Whether a full node knows more providers than it was asked for."""
        return any(not each.is_complete for each in self.nodes)


async def search(
    query: Query,
    chain: Chain,
    settings: MarketSettings,
    settings_file: Path | None,
    market_user: int,
    tell: Callable[[str], None],
) -> Finding:
    """Have an agent search the network; ``tell`` hears its progress.

    It raises UsageError if the settings name no full node, and NetError or MarketError if none
    answers.
    """
    if find_spec("libp2p") is None:
        raise UsageError("libp2p is not installed; run: pip install 'flowshield[network]'")
    full_nodes = query.full_nodes or known_full_nodes(settings_file)
    if not full_nodes:
        raise UsageError(
            f"no full node is known; add bootstrap to [network] of {find(settings_file)}, "
            "or name a --full-node"
        )
    listings = ChainListings(chain, settings)
    asked = _Chain(listings)
    progress = _Progress(tell)
    name = listings.network
    start = FindStart(
        user=_user(market_user),
        network=name,
        find=serialize(Find.of(query.wishes, order=query.order)),
        full_nodes=tuple(full_nodes),
        only_named=bool(query.full_nodes),
        provider=query.provider.raw if query.provider else b"",
    )
    async with progress, conversation(start) as agent:
        async for said in agent.hear():
            match said:
                case {"progress": str(text)}:
                    progress.latest = printable(text)
                case {"listings": "all"}:
                    agent.say(_answer(await asked.all_listings()))
                case {"listings": list(wanted)}:
                    agent.say(_answer(await asked.listings(wanted)))
                case {"found": dict(found)}:
                    try:
                        return _judged(found, query, name, asked.known)
                    except (KeyError, ValueError):
                        raise senseless() from None
                case _:
                    raise senseless()
    raise MarketError("the agent ended while it searched; see the system's log")


def known_full_nodes(settings_file: Path | None) -> tuple[str, ...]:
    """The full nodes of the settings, as multiaddrs; ConfigError if the settings are wrong."""
    path = find(settings_file)
    return parse_network(read_section(path, "network") or {}, str(path)).bootstrap


def network_of(settings: MarketSettings) -> bytes:
    """The id of the settings' network; empty if they name no registry."""
    if settings.registry is None:
        return b""
    return network_id(settings.chain_id, settings.registry.raw)


class _Progress:
    """Tells the progress once a search takes long, and again at each change."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self.latest = tell, "joining the network"
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _watch(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(_LONG)
            if self.latest != told:
                told = self.latest
                self._tell(told)


class _Chain:
    """The chain as the agent may ask it, a limited number of times.

    It keeps the chain's answers, by which the agent's findings are judged.
    """

    def __init__(self, chain: ChainListings) -> None:
        self._chain, self._left = chain, _MOST_ASKED_OF_THE_CHAIN
        self.known = Listings()

    async def listings(self, wanted: list[Any]) -> Mapping[bytes, Listing | None]:
        providers = [_bytes(each, 20) for each in wanted]
        unknown = self.known.unknown(providers)
        self._left -= len(unknown)
        if self._left < 0:
            raise MarketError("the agent asks the chain too much; name other full nodes")
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look_up(provider: bytes) -> Listing | None:
            async with gate:
                return await self._chain.look_up(provider)

        found = await asyncio.gather(*map(look_up, unknown))
        self.known.learn(dict(zip(unknown, found, strict=True)))
        return {each: self.known.listing(each) for each in providers}

    async def all_listings(self) -> Mapping[bytes, Listing | None]:
        self._left -= 1
        await self._chain.refresh()
        found = self._chain.all()
        self.known.learn(found)
        return found


def _judged(found: dict[str, Any], query: Query, network: bytes, known: Listings) -> Finding:
    """What the agent found, as far as the chain confirms it."""
    discovery = Discovery(query.wishes, query.order, network, known)
    hits = tuple(map(_hit, _list(found["hits"])[:MAX_CANDIDATES]))
    now = time.time_ns() // 1_000_000
    failed, used_dht = found["failed"], found["used_dht"] is True
    if type(failed) is not dict:
        raise senseless()
    if used_dht:
        for hit in hits:
            discovery.take_record(hit.record, now)
    else:
        discovery.take(b"agent", Found(hits, len(hits)), now)
    return Finding(
        discovery.outcome(now).matches,
        [_node(each) for each in _list(found["nodes"])],
        {_name(where): _name(why) for where, why in failed.items()},
        used_dht,
    )


def _user(market_user: int) -> User:
    """The user that the agent becomes; if you are not root, that is you."""
    if os.geteuid() != 0:
        return User(os.getuid(), os.getgid())
    user = agent_user(market_user)
    return User(user.pw_uid, user.pw_gid)


def _answer(listings: Mapping[bytes, Listing | None]) -> dict[str, Any]:
    return {
        "listings": {
            provider.hex(): listing_to_json(listing) if listing else None
            for provider, listing in listings.items()
        }
    }


# Parsers for what the agent says.


def _hit(said: Any) -> Hit:
    record, heartbeat, uptime = _list(said)
    return Hit(_bytes(record), _bytes(heartbeat), UNMEASURED if uptime is None else _number(uptime))


def _node(said: Any) -> NodeSaid:
    if type(said) is not dict or type(said["refused"]) is not dict:
        raise senseless()
    return NodeSaid(
        name=_name(said["name"]),
        shown=_number(said["shown"]),
        total=_number(said["total"]),
        is_complete=said["is_complete"] is True,
        missing=tuple(Address(_bytes(each, 20)) for each in _list(said["missing"])),
        older=tuple(Address(_bytes(each, 20)) for each in _list(said["older"])),
        refused={_name(why): _number(count) for why, count in said["refused"].items()},
    )


def _bytes(said: Any, length: int | None = None) -> bytes:
    try:
        raw = bytes.fromhex(said)
    except (TypeError, ValueError):
        raise senseless() from None
    if len(raw) > MAX_SIGNED or length not in (None, len(raw)):
        raise senseless()
    return raw


def _number(said: Any) -> int:
    if type(said) is not int or not 0 <= said <= UNMEASURED:
        raise senseless()
    return said


def _name(said: Any) -> str:
    if type(said) is not str:
        raise senseless()
    return printable(said, _MAX_NAME)


def _list(said: Any) -> list[Any]:
    if type(said) is not list:
        raise senseless()
    return said
