# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The client's agents: one negotiates for ``up``, one pays for the tunnel, and one orders a place.

The tunnel can move to a standby. An agent then orders the place there, over a connection that root
made. It cannot connect by itself while the tunnel is dead.

A negotiating agent asks ``up`` for all that it cannot decide or must not do, in lines of JSON:

    {"quote": HEX}                        {"accept": {"deposit": N, "expires_at": N, "salt": HEX}},
                                          or null
    {"open": {"terms": HEX, ...}}         {"opened": true}
    {"configured": {..., "relay": ADDRESS or null}}     nothing: the agent ends
    {"reserved": ADDRESS}                 nothing: the agent ends
"""

import asyncio
import json
import logging
import signal
import socket
import sys
from typing import Any

from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_states import State
from fs_market.core.session.events import OpenChannel
from fs_market.core.session.purchase import ClientConfig
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.messages import Quote, Tunnel
from fs_market.core.wire.schema import from_bytes_untrusted, to_bytes
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError, Reason
from fs_market.journal import Journal
from fs_market.money.wallet import parse_secret
from fs_market.session import session_book
from fs_market.session.client_agent import Buyer, ClientAgent
from fs_market.session.stream import TcpRoute, take_over
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.questions import read_secret
from fs_tunnel.roles.client.client_host import Relayed
from fs_tunnel.roles.metering import EngineLink
from fs_tunnel.roles.peer_route import PeerRoute
from fs_tunnel.roles.starts import Dealing, NegotiateStart, OrderStart, PayStart
from fs_tunnel.roles.telling import keep_telling, tell

log = logging.getLogger(__name__)

NEGOTIATE_WITHIN = 180.0  # seconds
_FAREWELL = 10.0  # seconds for the last voucher
_MAX_ANSWER = 1 << 16  # bytes


class Client:
    """What all agents of a client need: who pays, how much, and the books."""

    def __init__(self, dealing: Dealing) -> None:
        """Read all files, as long as this is root."""
        purse = dealing.purse
        key = SigningKey(parse_secret(read_secret(dealing.session_key_file)))
        self._token = purse.token
        self.config = ClientConfig(
            domain=channels_domain(purse.chain_id, purse.channels),
            token=purse.token.address,
            payer=purse.payer,
            session_key=key,
            wireguard_key=purse.wireguard_key,
            max_price=dealing.max_price,
            budget=purse.budget,
            node=dealing.node,
        )
        self.books = purse.books / "sessions.journal"
        self.genesis = purse.genesis

    async def records(self, journal: Journal) -> list[ClientRecord]:
        """The sessions of this tunnel, the latest first."""
        records = [
            from_bytes_untrusted(ClientRecord, entry.record)
            for entry in await journal.do(session_book.latest_first)
        ]
        return [each for each in records if each.wireguard_key == self.config.wireguard_key]

    async def record(self, journal: Journal) -> ClientRecord | None:
        """The session with these keys; None if there is none."""
        return next(filter(self._is_ours, await self.records(journal)), None)

    def _is_ours(self, record: ClientRecord) -> bool:
        return record.terms.session_key == self.config.session_key.address


class Negotiator(Client):
    """Buys a place in a provider's tunnel, or goes on with an earlier purchase."""

    def __init__(self, start: NegotiateStart) -> None:
        super().__init__(start.dealing)
        self._place = TcpRoute(start.host, start.port)
        self._relayed = Relayed(start.dealing) if start.dealing.peer else None
        self._relays = start.dealing.relays
        self._only_reserves = start.only_reserves

    async def run(self, _sockets: dict[str, socket.socket]) -> None:
        """Tell the place, or raise MarketError with why there is none."""
        if self._relayed is None:
            await self._negotiate(self._place)
            return
        async with self._relayed.route(self._relays) as route:
            await self._negotiate(route)

    async def _negotiate(self, route: TcpRoute | PeerRoute) -> None:
        async with Journal(self.books, self.genesis) as journal:
            record = await self.record(journal)
            if record is not None and record.is_over:
                record = None
            agent = ClientAgent(ClientSession(self.config, record), journal)
            buyer = Buyer(consider, have_opened)
            ending = asyncio.get_running_loop().call_later(NEGOTIATE_WITHIN, agent.close)
            if not self._only_reserves:
                place = await agent.negotiate(route, buyer)
                _tell_place(place, route.relay if isinstance(route, PeerRoute) else None)
            else:
                if record is None or not record.is_open:
                    await agent.reserve(route, buyer)
                tell({"reserved": await _address_of(self._place)})
            ending.cancel()


class Orderer(Client):
    """Orders the place from a provider that stood by."""

    def __init__(self, start: OrderStart) -> None:
        super().__init__(start.dealing)

    async def run(self, sockets: dict[str, socket.socket]) -> None:
        """Tell the place, or raise MarketError with why there is none."""
        async with Journal(self.books, self.genesis) as journal:
            record = await self.record(journal)
            if record is None or not record.is_open or record.is_over:
                raise MarketError(
                    "no channel is open with that provider; run fs-tunnel down, then up again"
                )
            agent = ClientAgent(ClientSession(self.config, record), journal)
            _tell_place(await agent.order(await take_over(sockets["negotiation"])))


class Payer(Client):
    """Pays for a tunnel that is up."""

    def __init__(self, start: PayStart) -> None:
        super().__init__(start.dealing)
        self._gateway = TcpRoute(str(start.gateway), start.payment_port, is_probed=True)
        self._provider = start.provider_key
        self._others: list[ClientRecord] = []
        self._is_leaving = False

    async def run(self, sockets: dict[str, socket.socket]) -> None:
        """Return when the session is over, or when SIGTERM has ended it."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        engine = EngineLink()
        await engine.open(sockets)
        async with Journal(self.books, self.genesis) as journal:
            record = await self.record(journal)
            self._others = [each for each in await self.records(journal) if not self._is_ours(each)]
            if record is None:
                raise MarketError("the journal has no session; run fs-tunnel down, then up again")
            agent = ClientAgent(ClientSession(self.config, record), journal)
            if record.is_over:
                tell(self._describe(agent, record))
                return
            telling = asyncio.create_task(keep_telling(lambda: self._describe(agent, record)))
            paying = asyncio.create_task(agent.pay(self._gateway, engine, self._provider))
            ending = asyncio.create_task(stopped.wait())
            try:
                await asyncio.wait({paying, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not paying.done():
                    self._is_leaving = True
                    agent.close()
                    await asyncio.wait({paying}, timeout=_FAREWELL)
                if paying.done():
                    paying.result()
            finally:
                for each in (telling, paying, ending):
                    each.cancel()
                tell(self._describe(agent, record))

    def _describe(self, agent: ClientAgent, record: ClientRecord) -> dict[str, Any]:
        session, usage, offer = agent.session, agent.session.usage, record.quote.terms
        reason = agent.ended.reason if agent.ended else None
        return {
            "state": session.state.value,
            "role": "client",
            "reason": reason.text if reason else None,
            "has_failed": reason not in (None, Reason.DONE, Reason.SPENT),
            "lost": self._loss(agent),
            "elsewhere": [
                {
                    "node": str(each.quote.terms.node),
                    "paid": amount_json(each.promised, self._token),
                    "deposit": amount_json(each.deposit, self._token),
                }
                for each in self._others
            ],
            "node": str(offer.node),
            "price": Price.of(offer).format(self._token),
            "paid": amount_json(session.promised, self._token),
            "budget": amount_json(self.config.budget, self._token),
            "deposit": amount_json(record.deposit, self._token),
            "up_bytes": usage.up,
            "down_bytes": usage.down,
            "bytes": usage.bytes,
            "seconds": usage.seconds,
        }

    def _loss(self, agent: ClientAgent) -> str | None:
        """Why the tunnel is of no use; None if it is of use, or if we are leaving."""
        if self._is_leaving:
            return None
        if agent.session.state is State.OVER:
            return f"the session is over ({agent.ended.reason.text if agent.ended else 'ended'})"
        return "the provider is silent" if agent.silence is not None else None


async def _address_of(route: TcpRoute) -> str:
    """The provider's IP address, for a time when no name can be resolved."""
    found = await asyncio.get_running_loop().getaddrinfo(
        route.host, route.port, type=socket.SOCK_STREAM
    )
    return str(found[0][4][0])


def place_to_json(place: Tunnel) -> dict[str, Any]:
    """As ``places.parse_place_untrusted`` reads it."""
    return {
        "wireguard_key": place.wireguard_key.to_base64(),
        "endpoint": str(place.endpoint),
        "addresses": [str(each) for each in place.addresses],
        "dns": [str(each) for each in place.dns],
        "gateway": str(place.gateway),
        "payment_port": place.payment_port,
        "mtu": place.mtu,
    }


def _tell_place(place: Tunnel, relay: str | None = None) -> None:
    tell({"configured": {**place_to_json(place), "relay": relay}})


async def consider(session: ClientSession, quote: Quote) -> None:
    """Accept the quote if ``up`` does; MarketError if it does not."""
    answer = await _ask({"quote": to_bytes(quote).hex()})
    accepted = answer.get("accept")
    if accepted is None:
        raise MarketError("you did not accept the quote; nothing was paid")
    session.accept(
        deposit=int(accepted["deposit"]),
        expires_at=accepted["expires_at"],
        salt=bytes.fromhex(accepted["salt"]),
    )


async def have_opened(wanted: OpenChannel) -> None:
    """Have ``up`` open the channel; MarketError if it does not."""
    terms = to_bytes(wanted.terms).hex()
    answer = await _ask({"open": {"terms": terms, "deposit": str(wanted.deposit)}})
    if answer.get("opened") is not True:
        raise MarketError("the channel was not opened; run the command again")


async def _ask(question: dict[str, Any]) -> dict[str, Any]:
    tell(question)
    line = await asyncio.to_thread(sys.stdin.buffer.readline, _MAX_ANSWER)
    answer = json.loads(line) if line else {}
    assert isinstance(answer, dict)
    return answer
