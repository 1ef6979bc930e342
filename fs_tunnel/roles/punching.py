# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A tunnel's way through NATs, which the agents of both sides find together.

Each agent has its engine ask servers where they see its socket, and tells the other side. Then both
engines call each other. A closed kill switch is opened for these servers while they are asked, and
for the other side's endpoints while they are called. It stays open for the endpoint that answered.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fs_market.errors import MarketError
from fs_market.session.meetings import Meet, Whereabouts
from fs_net.core.punch import (
    Mapping,
    Timetable,
    explain_failure,
    is_hopeless,
    judge_mapping,
)
from fs_tunnel.helper.client import HelperClient
from fs_tunnel.linux.firewall.nft import table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint, check_host
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint, PublicKey

_OBSERVE_TIMES, _OBSERVE_WITHIN = 4, 0.5  # questions, and seconds for each to be answered


class Engine(Protocol):
    """The engine; ``metering.EngineLink`` is one as long as its events are read."""

    async def observe(
        self, servers: Sequence[Endpoint], within: float
    ) -> dict[Endpoint, Endpoint]: ...

    async def call(self, peer: PublicKey, endpoints: Sequence[Endpoint]) -> bool: ...

    async def endpoint_of(self, peer: PublicKey) -> Endpoint | None: ...


class Gate(Protocol):
    """Lets a tunnel's datagrams out to single endpoints."""

    async def open(self, endpoint: Endpoint) -> None: ...

    async def close(self, endpoint: Endpoint) -> None: ...


class KillSwitch:
    """A ``Gate``: the kill switch of a tunnel, through its helper.

    It raises ControlError if the helper refuses, and UsageError if an address is not that of one
    other host.
    """

    def __init__(self, ifname: str) -> None:
        self._helper, self._table = HelperClient(ifname), table_of(ifname)

    async def open(self, endpoint: Endpoint) -> None:
        await asyncio.to_thread(self._helper.do, self._change(endpoint))

    async def close(self, endpoint: Endpoint) -> None:
        await asyncio.to_thread(self._helper.undo, self._change(endpoint))

    def _change(self, endpoint: Endpoint) -> PermittedEndpoint:
        return PermittedEndpoint(self._table, endpoint.ip, endpoint.port)


class NoGate:
    """A ``Gate`` for a host that lets everything out."""

    async def open(self, endpoint: Endpoint) -> None: ...

    async def close(self, endpoint: Endpoint) -> None: ...


def whereabouts_to_json(here: Whereabouts) -> dict[str, Any]:
    """Whereabouts as a command and its agent tell them."""
    return {"endpoints": [str(each) for each in here.endpoints], "mapping": here.mapping}


def whereabouts_from_json(said: dict[str, Any]) -> Whereabouts:
    """The inverse; MarketError if these are none, or if an endpoint is not that of one host."""
    try:
        endpoints = tuple(map(Endpoint.parse, said["endpoints"]))
        for each in endpoints:
            check_host(each.ip, each.port)
        return Whereabouts(endpoints, int(said["mapping"]))
    except (KeyError, TypeError, ValueError, AttributeError, UsageError):
        raise MarketError("the provider does not say where to call it; choose another") from None


async def find_whereabouts(engine: Engine, servers: Sequence[Endpoint]) -> Whereabouts:
    """The endpoints at which these servers see the tunnel's socket; none if no server answers."""
    seen: dict[Endpoint, Endpoint] = {}
    for _ in range(_OBSERVE_TIMES):
        if missing := [each for each in servers if each not in seen]:
            seen |= await engine.observe(missing, _OBSERVE_WITHIN)
    return Whereabouts(tuple(dict.fromkeys(seen.values())), judge_mapping(seen))


async def call_peer(
    engine: Engine, peer: PublicKey, ours: Whereabouts, theirs: Whereabouts
) -> None:
    """Call until there is a session; MarketError if there is none, which says why."""
    mappings = Mapping.from_number(ours.mapping), Mapping.from_number(theirs.mapping)
    if is_hopeless(*mappings) or not theirs.endpoints:
        raise MarketError(explain_failure(*mappings))
    clock = asyncio.get_running_loop().time
    table = Timetable(clock())
    while (due := table.due) is not None:
        await asyncio.sleep(max(0.0, due - clock()))
        if await engine.call(peer, theirs.endpoints):
            return
        table.called(clock())
    raise MarketError(explain_failure(*mappings))


async def reach(
    engine: Engine,
    gate: Gate,
    peer: PublicKey,
    servers: Sequence[Endpoint],
    ask: Callable[[Whereabouts], Awaitable[Whereabouts]],
) -> Endpoint | None:
    """The client's side: where the provider answered; MarketError if it did not, which says why.

    ``ask`` tells the provider our whereabouts, and returns its own. The gate stays open for the
    endpoint that answered.
    """
    async with _opened(gate, servers):
        ours = await find_whereabouts(engine, servers)
    theirs = await ask(ours)
    answered: set[Endpoint] = set()
    async with _opened(gate, theirs.endpoints, stays=answered):
        await call_peer(engine, peer, ours, theirs)
        endpoint = await engine.endpoint_of(peer)
        if endpoint is not None:
            answered.add(endpoint)
    return endpoint


def meeting(engine: Engine, servers: Sequence[Endpoint], on_failure: Callable[[str], None]) -> Meet:
    """The provider's side: its engine calls while its answer is on its way."""
    calls: set[asyncio.Task[None]] = set()

    async def call(peer: PublicKey, ours: Whereabouts, theirs: Whereabouts) -> None:
        try:
            await call_peer(engine, peer, ours, theirs)
        except (MarketError, OSError) as error:
            on_failure(str(error))

    async def meet(peer: PublicKey, theirs: Whereabouts) -> Whereabouts:
        ours = await find_whereabouts(engine, servers)
        task = asyncio.create_task(call(peer, ours, theirs))
        calls.add(task)
        task.add_done_callback(calls.discard)
        return ours

    return meet


@asynccontextmanager
async def _opened(
    gate: Gate, endpoints: Sequence[Endpoint], *, stays: Sequence[Endpoint] | set[Endpoint] = ()
) -> AsyncIterator[None]:
    """Open the gate for these endpoints until the block ends, and for those that stay after it."""
    opened: list[Endpoint] = []
    try:
        for each in endpoints:
            await gate.open(each)
            opened.append(each)
        yield
    finally:
        for each in opened:
            if each not in stays:
                await gate.close(each)
