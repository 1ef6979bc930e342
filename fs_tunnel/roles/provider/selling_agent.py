# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The provider's agent as a process: its settings and keys, its servers, and its settlements."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Interface, IPv6Interface
from itertools import islice
from typing import Any

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.sender import Patience, Sender
from fs_market.core.money.units import Token
from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.session.provider_states import State
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import ChainError
from fs_market.journal import Journal
from fs_market.money.settle import SettlementPolicy, Settler
from fs_market.money.wallet import Wallet, parse_secret
from fs_market.session.provider_agent import ProviderAgent
from fs_market.session.provider_sessions import Lodging
from fs_market.session.watch import ChannelWatch
from fs_market.settings import read, read_provider
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.questions import read_secret
from fs_tunnel.roles.metering import EngineLink
from fs_tunnel.roles.peer_route import serve_peer
from fs_tunnel.roles.provider.announcing import Announcement
from fs_tunnel.roles.punching import meeting
from fs_tunnel.roles.starts import ProviderStart
from fs_tunnel.roles.telling import keep_telling
from fs_wire.errors import SystemChangeError
from fs_wire.types import IPAddress

log = logging.getLogger(__name__)

_QUOTE_SECONDS = 86_400  # a standby is ordered when another provider dies
_LOOK_AT_CHAIN_EVERY = 1.0  # seconds
_SETTLE_EVERY = 600.0  # seconds, and whenever a session ends
_SETTLE_AGAIN = 5.0  # seconds after the chain failed; they double each time it fails again
_LAST_VOUCHERS, _LAST_SETTLEMENT = 6.0, 10.0  # seconds, at the end
_BACKLOG = 1024
_BIND_AGAIN_FOR = 10.0  # seconds: an address may not be there yet


class Seller:
    """Serves the clients of one tunnel."""

    def __init__(self, start: ProviderStart) -> None:
        """Read all files, as long as this is root."""
        conf = start.conf
        self._market, self._sold = read(conf), read_provider(conf)
        self._account = Wallet(parse_secret(read_secret(conf.parent / self._sold.key_file)))
        self._node = SigningKey(parse_secret(read_secret(conf.parent / self._sold.node_key_file)))
        market = self._market
        self._chain = Chain(market.rpc, market.chain_id, confirmations=market.confirmations)
        self._channels = Channels(self._chain, market.channels)
        self._coin = Erc20(self._chain, market.token)
        self._announcement = Announcement(conf, market, self._sold)
        self._announcement.prepare(start.user.uid, start.user.gid)
        self._books, self._wireguard_key = start.books, start.wireguard_key
        self._gateways = [each for each in start.addresses if each.network.num_addresses > 2]
        self._dns, self._mtu = start.dns, start.mtu
        self._reserved, self._taken = start.reserved, set(start.taken)

    async def run(self, sockets: dict[str, socket.socket]) -> None:
        """Serve until SIGTERM, then settle for a few seconds."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        engine, market = EngineLink(), self._market
        await engine.open(sockets)
        async with (
            self._chain as chain,
            Journal(self._books / "sessions.journal", chain.genesis) as journal,
        ):
            channels, token = self._channels, await self._coin.describe()
            min_deposit, settle_above, cost = self._sold.amounts_in(token)
            sender = Sender(chain, journal, self._account, market.fees, Patience(poll=0.5))
            settler = Settler(journal, channels, sender, SettlementPolicy(settle_above))
            wanted = asyncio.Event()
            wanted.set()
            lodging, stun_servers = self._lodging(), self._announcement.stun_servers
            agent = ProviderAgent(
                self._config(token, min_deposit),
                lodging,
                engine,
                journal,
                ChannelWatch(chain, channels, every=_LOOK_AT_CHAIN_EVERY),
                entropy=os.urandom,
                reserved=self._reserved,
                on_ended=lambda _: wanted.set(),
                meet=meeting(engine, stun_servers, log.warning) if stun_servers else None,
            )
            await agent.resume()
            servers = await self._listen(agent)
            resuming = asyncio.create_task(settler.resume())
            settling = asyncio.create_task(_settle(settler, agent, cost, wanted))
            telling = asyncio.create_task(keep_telling(lambda: self._describe(agent, token)))
            serving = asyncio.create_task(agent.run())
            announcing = asyncio.create_task(self._announce(agent, token, lodging.places))
            ending = asyncio.create_task(stopped.wait())
            try:
                working = {serving, announcing}
                await asyncio.wait({*working, ending}, return_when=asyncio.FIRST_COMPLETED)
                for task in working:
                    if task.done():
                        task.result()
                announcing.cancel()
                await agent.close(_LAST_VOUCHERS)
                settling.cancel()
                async with asyncio.timeout(_LAST_SETTLEMENT):
                    await settler.settle_due(cost, agent.is_over)
            except (TimeoutError, ChainError) as error:
                log.warning("the agent settles the rest at its next start: %s", error)
            finally:
                for server in servers:
                    server.close()
                agent.hang_up()
                for each in (serving, resuming, settling, telling, ending, announcing):
                    each.cancel()

    def _config(self, token: Token, min_deposit: int) -> ProviderConfig:
        sold, market = self._sold, self._market
        return ProviderConfig(
            domain=channels_domain(market.chain_id, market.channels),
            token=market.token,
            payee=self._account.address,
            node_key=self._node,
            price=sold.price_in(token),
            increment=sold.increment,
            tolerance_ppm=sold.tolerance_ppm,
            close_window=sold.close_window,
            min_deposit=min_deposit,
            quote_seconds=_QUOTE_SECONDS,
        )

    async def _announce(self, agent: ProviderAgent, token: Token, places: int) -> None:
        await self._announcement.run(
            self._books / "network",
            self._account.address,
            self._node.address,
            self._wireguard_key,
            self._sold.price_in(token),
            places,
            lambda: max(0, places - sum(1 for _ in agent.books())),
            partial(serve_peer, agent),
        )

    # Places.

    def _lodging(self) -> Lodging:
        most = self._sold.clients
        pools = [list(islice(self._free(each), most)) for each in self._gateways]
        places = min(map(len, pools))
        gateway = self._gateways[0].ip

        def place(number: int) -> Place:
            return Place(
                wireguard_key=self._wireguard_key,
                endpoint=self._sold.endpoint,
                addresses=tuple(pool[number] for pool in pools),
                dns=self._dns,
                gateway=gateway,
                payment_port=self._sold.payment_port,
                mtu=self._mtu,
            )

        return Lodging(places, place, self._sold.rate)

    def _free(self, gateway: IPv4Interface | IPv6Interface) -> Iterator[IPAddress]:
        return (
            address
            for address in gateway.network.hosts()
            if address != gateway.ip and address not in self._taken
        )

    async def _listen(self, agent: ProviderAgent) -> list[asyncio.Server]:
        """Listen outside for clients that buy, and inside the tunnel for clients that pay."""
        outside, gateway = self._sold.listen, self._gateways[0].ip
        places = [(outside.ip, outside.port), (str(gateway), self._sold.payment_port)]
        return [await _bound(agent, address, port) for address, port in places]

    def _describe(self, agent: ProviderAgent, token: Token) -> dict[str, Any]:
        clients = {}
        paid, total = agent.ended
        for channel, core in agent.books():
            paid, total = paid + core.paid, total + core.usage.bytes
            clients["0x" + channel.hex()] = {
                "peer": core.wireguard_key.to_base64() if core.wireguard_key else None,
                "state": core.state.value,
                "paid": amount_json(core.paid, token),
                "bytes": core.usage.bytes,
                "seconds": core.usage.seconds,
            }
        return {
            "state": "ready",
            "role": "provider",
            "listen": str(self._sold.listen),
            "account": str(self._account.address),
            "node": str(self._node.address),
            "price": self._sold.price,
            "clients": clients,
            "served": sum(core.state is State.SERVING for _, core in agent.books()),
            "paid": amount_json(paid, token),
            "bytes": total,
            "refused": {reason.text: count for reason, count in agent.refused.items()},
            "network": self._announcement.describe(),
        }


async def _bound(agent: ProviderAgent, address: str, port: int) -> asyncio.Server:
    give_up = asyncio.get_running_loop().time() + _BIND_AGAIN_FOR
    while True:
        try:
            return await asyncio.start_server(agent.converse, address, port, backlog=_BACKLOG)
        except OSError as error:
            if asyncio.get_running_loop().time() > give_up:
                raise SystemChangeError(
                    f"port {port} of {address}: {error.strerror or error}; "
                    "name another port in the section [provider]"
                ) from None
        await asyncio.sleep(0.1)


async def _settle(settler: Settler, agent: ProviderAgent, cost: int, wanted: asyncio.Event) -> None:
    delay, again = _SETTLE_EVERY, _SETTLE_AGAIN
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await wanted.wait()
        wanted.clear()
        try:
            await settler.settle_due(cost, agent.is_over)
        except ChainError as error:
            log.warning("%s", error)
            delay, again = again, min(2 * again, _SETTLE_EVERY)
        else:
            delay, again = _SETTLE_EVERY, _SETTLE_AGAIN
