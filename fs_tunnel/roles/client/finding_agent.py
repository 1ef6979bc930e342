# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The unprivileged agent that searches for providers. It speaks to full nodes, never to a chain.

It is another peer each time. So full nodes can link a client's searches only by its IP address. The
agent asks the command what it needs from the chain, in lines of JSON:

    {"progress": TEXT}
    {"listings": [HEX, ...]}        {"listings": {HEX: LISTING or null, ...}}
    {"listings": "all"}             {"listings": {HEX: LISTING, ...}}
    {"found": {...}}                nothing: the agent ends
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import Any

from fs_net.core.discovery import MAX_CANDIDATES, Discovery, Listings
from fs_net.core.questions import Find, parse_untrusted
from fs_net.discovery import Search
from fs_net.launchers import ForkServer
from fs_net.ports import Listing
from fs_tunnel.roles.client.client_host import client_host
from fs_tunnel.roles.starts import FindStart
from fs_tunnel.roles.telling import tell
from fs_wire.errors import FlowShieldError

_MAX_ANSWER = 1 << 20  # bytes


class Finder:
    """One search."""

    def __init__(self, start: FindStart) -> None:
        find = parse_untrusted(start.find)
        assert isinstance(find, Find)
        self._network = start.network
        self._listings = Listings()
        self._discovery = Discovery(find.wishes, find.order, self._network, self._listings)
        self._full_nodes = start.full_nodes
        self._only_named, self._provider = start.only_named, start.provider
        self._processes = ForkServer(start.user.uid, start.user.gid)

    async def run(self, _sockets: dict[str, socket.socket]) -> None:
        """Tell what was found, or why the search failed."""
        try:
            tell({"found": await self._search()})
        except FlowShieldError as error:
            tell({"error": str(error)})

    async def _search(self) -> dict[str, Any]:
        async with client_host(self._network, self._processes, self._full_nodes) as host:
            search = Search(host, self._discovery, self._listings, _Asking(), SystemRandom())
            if self._provider:
                await search.find(self._provider, self._full_nodes)
            else:
                await search.run(
                    self._full_nodes,
                    only_named=self._only_named,
                    tell=lambda text: tell({"progress": text}),
                )
            return self._describe(search)

    def _describe(self, search: Search) -> dict[str, Any]:
        outcome = self._discovery.outcome(time.time_ns() // 1_000_000)
        hits = []
        for found in outcome.matches[:MAX_CANDIDATES]:
            entry = found.candidate.entry
            heartbeat = entry.heartbeat.raw.hex() if entry.heartbeat else ""
            hits.append([entry.record.raw.hex(), heartbeat, found.candidate.uptime])
        return {
            "hits": hits,
            "used_dht": search.used_dht,
            "nodes": [
                {
                    "name": search.names[each.node],
                    "shown": each.shown,
                    "total": each.total,
                    "is_complete": each.is_complete,
                    "missing": [provider.hex() for provider in each.missing],
                    "older": [provider.hex() for provider in each.older],
                    "refused": {reason.value: count for reason, count in each.refused.items()},
                }
                for each in outcome.reports
            ],
            "failed": search.failed,
        }


class _Asking:
    """Asks the chain through the command, one question at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def listings(self, providers: Sequence[bytes]) -> Mapping[bytes, Listing | None]:
        return await self._ask([each.hex() for each in providers])

    async def all_listings(self) -> Mapping[bytes, Listing]:
        found = await self._ask("all")
        return {provider: listing for provider, listing in found.items() if listing is not None}

    async def _ask(self, wanted: list[str] | str) -> Mapping[bytes, Listing | None]:
        async with self._lock:
            tell({"listings": wanted})
            line = await asyncio.to_thread(sys.stdin.buffer.readline, _MAX_ANSWER)
        return {
            bytes.fromhex(provider): listing_from_json(said) if said else None
            for provider, said in json.loads(line)["listings"].items()
        }


def listing_to_json(listing: Listing) -> dict[str, Any]:
    """A listing as the command tells it to the agent."""
    return {
        "node_key": listing.node_key.hex(),
        "heartbeat_key": listing.heartbeat_key.hex(),
        "slots": listing.slots,
        "stake": str(listing.stake),
        "verified_country": listing.verified_country.decode("ascii"),
    }


def listing_from_json(said: dict[str, Any]) -> Listing:
    """The inverse, only for what the command says."""
    return Listing(
        node_key=bytes.fromhex(said["node_key"]),
        heartbeat_key=bytes.fromhex(said["heartbeat_key"]),
        slots=said["slots"],
        stake=int(said["stake"]),
        verified_country=said["verified_country"].encode("ascii"),
    )
