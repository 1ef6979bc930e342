# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up`` reaches a provider behind a NAT: the engines of both sides call each other.

The kill switch is closed by then. ``up`` opens it for marked packets to single addresses:

- to the full node that led to the provider, while both sides tell each other where they are;
- to STUN servers while they are asked, and to the provider's endpoints while they are called.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import Any

from fs_market.errors import MarketError
from fs_market.session.meetings import Whereabouts
from fs_net.core.punch import stun_servers
from fs_tunnel import lifecycle
from fs_tunnel.helper.engine_sockets import connect_as_root
from fs_tunnel.linux.firewall.nft import has_table, table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint, check_host
from fs_tunnel.linux.firewall.permitted_negotiation import LONGEST, connect_marked
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.state import locked
from fs_tunnel.roles.conversation import Conversation, conversation, senseless
from fs_tunnel.roles.market_files import MarketFiles, write_private
from fs_tunnel.roles.metering import EngineLink
from fs_tunnel.roles.punching import reach, whereabouts_from_json, whereabouts_to_json
from fs_tunnel.roles.starts import MeetStart, PayStart
from fs_wire import control
from fs_wire.errors import UsageError
from fs_wire.patience import patient
from fs_wire.types import Endpoint
from fs_wire.uapi_client import UapiClient

_RELAY = re.compile(r"/ip([46])/([0-9a-f.:]+)/tcp/([0-9]{1,5})/p2p/[0-9A-Za-z]+")
_CONNECT_WITHIN = patient(5.0)  # seconds
_BY_ITSELF_WITHIN = 1.0  # seconds: one round trip, in case the provider forwards a port
_LOOK_EVERY = 0.1  # seconds


class Unreachable(MarketError):
    """No way leads to the provider that sold the place, and nothing of its tunnel is up.

    ``is_over`` says whether the provider heard that the session is over. The channel is open still.
    """

    def __init__(self, why: str, *, is_over: bool) -> None:
        self.why, self.is_over = why, is_over
        became = (
            "The session is over, and nothing is up; "
            "get the money back with fs-tunnel market settle"
            if is_over
            else "The channel stays open: run fs-tunnel up again to go on with it, "
            "or get the money back with fs-tunnel market settle"
        )
        super().__init__(f"{why}. {became}")


def relay_endpoint(address: str) -> Endpoint | None:
    """The TCP endpoint in a full node's multiaddr; None if it names no IP address and TCP port."""
    matched = _RELAY.fullmatch(address)
    if matched is None:
        return None
    host, port = matched[2], int(matched[3])
    try:
        check_host(host, port)
    except UsageError:
        return None
    return Endpoint(host, port) if ip_address(host).version == int(matched[1]) else None


def reach_of(files: MarketFiles) -> Callable[[bool], None] | None:
    """A function that reaches the provider of a tunnel that is up; None if its place leads there.

    The function raises MarketError, which says why it failed and what becomes of the money. Its
    argument says whether the tunnel was up before. If not, the function ends the session with a
    provider that it cannot reach, and raises Unreachable.
    """
    start = files.read_start()
    if not isinstance(start, PayStart) or not start.dealing.relay:
        return None
    return lambda was_there: _Reaching(files, start, was_there=was_there).run()


class _Reaching:
    def __init__(self, files: MarketFiles, start: PayStart, *, was_there: bool) -> None:
        self._files, self._dealing, self._name = files, start.dealing, files.conf.stem
        self._provider = start.provider_key
        self._was_there = was_there

    def run(self) -> None:
        answered = asyncio.run(self._reach())
        if answered is not None:
            self._keep(answered)

    async def _reach(self) -> Endpoint | None:
        since = time.time_ns() if self._was_there else 0
        if self._was_there and await asyncio.to_thread(self._knock):
            return None
        for _ in range(round(_BY_ITSELF_WITHIN / _LOOK_EVERY)):
            if await asyncio.to_thread(self._has_session, since):
                return None
            await asyncio.sleep(_LOOK_EVERY)
        relay = relay_endpoint(self._dealing.relay or "")
        if relay is None:
            raise senseless()
        with lifecycle.permitting_negotiation(self._name, relay, LONGEST) as mark:
            try:
                return await self._meet(relay, mark)
            except (OSError, TimeoutError) as error:
                why = f"the full node at {relay} does not connect us ({error or 'no answer'})"
                raise self._failure(why, is_over=False) from None

    async def _meet(self, relay: Endpoint, mark: int) -> Endpoint | None:
        async with AsyncExitStack() as stack:
            engine = EngineLink()
            await engine.open(connect_as_root(self._name))
            stack.push_async_callback(engine.close)
            hearing = asyncio.create_task(_hear(engine))
            stack.callback(hearing.cancel)
            sockets = connect_as_root(self._name)
            for each in sockets.values():
                stack.enter_context(each)
            sockets["relay"] = stack.enter_context(
                await asyncio.to_thread(connect_marked, relay.ip, relay.port, mark, _CONNECT_WITHIN)
            )
            descriptors = {use: each.fileno() for use, each in sockets.items()}
            start = MeetStart(dealing=self._dealing, provider_key=self._provider)
            agent = await stack.enter_async_context(conversation(start, descriptors))
            return await self._call(engine, agent)

    async def _call(self, engine: EngineLink, agent: Conversation) -> Endpoint | None:
        heard = agent.hear()

        async def ask(ours: Whereabouts) -> Whereabouts:
            agent.say({"meet": whereabouts_to_json(ours)})
            match await anext(heard, None):
                case {"met": dict(theirs)}:
                    return whereabouts_from_json(theirs)
            raise senseless()

        servers = stun_servers(self._dealing.relays)
        try:
            return await reach(engine, _Gate(self._name), self._provider, servers, ask)
        except MarketError as error:
            is_over = not self._was_there and await _leave(agent, heard)
            raise self._failure(str(error), is_over=is_over) from None

    def _failure(self, why: str, *, is_over: bool) -> MarketError:
        if self._was_there:
            return MarketError(
                f"{why}. Nothing leaves this host until you run fs-tunnel up again, "
                f"or fs-tunnel down {self._name}"
            )
        return Unreachable(why, is_over=is_over)

    def _knock(self) -> bool:
        """Call the provider at its last endpoint; whether a session with it is fresh.

        An older session proves nothing, because a NAT may have forgotten the tunnel since.
        """
        peer = self._provider.to_base64()
        with control.connect(self._name) as engine:
            was = engine.request("status")["peers"].get(peer, {}).get("endpoint")
            if was is None:
                return False
            return engine.request("call", peer=peer, endpoints=[was])["has_session"] is True

    def _has_session(self, since: int) -> bool:
        return any(
            each.public_key == self._provider and each.last_handshake_ns > since
            for each in UapiClient(self._name).get().peers
        )

    def _keep(self, answered: Endpoint) -> None:
        """Write the endpoint into the tunnel's file, for when the file is applied again."""
        text = self._files.conf.read_text()
        changed = re.sub(r"(?m)^Endpoint = .*$", f"Endpoint = {answered}", text)
        write_private(self._files.conf, changed.encode())


class _Gate:
    """The kill switch of a tunnel that has no helper yet."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def open(self, endpoint: Endpoint) -> None:
        await asyncio.to_thread(self._open, self._change(endpoint))

    async def close(self, endpoint: Endpoint) -> None:
        await asyncio.to_thread(self._close, self._change(endpoint))

    def _open(self, change: PermittedEndpoint) -> None:
        with locked(self._name):
            # Leave alone what the tunnel's own file opened.
            if has_table(change.table) and not change.is_there():
                Journal(self._name).ensure(change)

    def _close(self, change: PermittedEndpoint) -> None:
        with locked(self._name):
            journal = Journal(self._name)
            if change in journal.changes:
                journal.take_back(change)

    def _change(self, endpoint: Endpoint) -> PermittedEndpoint:
        return PermittedEndpoint(table_of(self._name), endpoint.ip, endpoint.port)


async def _leave(agent: Conversation, heard: AsyncIterator[dict[str, Any]]) -> bool:
    """End the session; whether the provider heard that."""
    agent.say({"leave": True})
    with contextlib.suppress(MarketError):
        return await anext(heard, None) == {"left": True}
    return False


async def _hear(engine: EngineLink) -> None:
    with contextlib.suppress(ConnectionError):
        async for _ in engine.low_credits():
            pass
