# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a provider's agent tells the network, and how ``status`` describes it."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fs_market.core.money.prices import Price
from fs_market.core.wire.ethereum import Address
from fs_market.provider_settings import ProviderSettings
from fs_market.settings import MarketSettings, read_section
from fs_net.bridge import Settings
from fs_net.core import punch
from fs_net.core.records import PortRange, ProviderRecord, Service, network_id
from fs_net.errors import HostGone, Reason
from fs_net.host import OnSession
from fs_net.launchers import ForkServer
from fs_net.provider import ProviderNode
from fs_net.settings import NetworkSettings, parse_network
from fs_tunnel.roles.provider.announcer_keys import AnnouncerKeys
from fs_wire.errors import ConfigError, UsageError
from fs_wire.types import Endpoint, PublicKey

_MAX_CONNECTIONS = 64
_MAX_MEMORY = 512 << 20  # bytes of the network process
_SERVICES = {"exit": Service.EXIT, "relay": Service.RELAY}
_REMEDIES = {
    Reason.UNSTAKED: "fs-tunnel market stake, then fs-tunnel market announce",
    Reason.OVERSOLD: "fs-tunnel market stake more, or write fewer clients",
    Reason.BAD_SIGNATURE: "fs-tunnel market announce, then fs-tunnel serve again",
    Reason.FUTURE: "set this host's clock",
    Reason.EXPIRED: "set this host's clock",
    Reason.VERSION: "update this program",
}
_WAIT = "the agent tries again by itself"
_BEGIN_AGAIN = 10.0  # s

log = logging.getLogger(__name__)


class Announcement:
    """Announces a provider by the section [network] and its two keys."""

    def __init__(self, conf: Path, market: MarketSettings, sold: ProviderSettings) -> None:
        """Read all files, as long as this is root; ConfigError if something is missing."""
        section = read_section(conf, "network")
        self._network: NetworkSettings | None = None
        if section is None:
            return
        self._network = parse_network(section, str(conf))
        if market.registry is None:
            raise _missing(conf, "contracts.registry", "write the address of the Registry")
        if not sold.country:
            raise _missing(conf, "provider.country", 'write country = "DE", or your own')
        self._id = network_id(market.chain_id, market.registry.raw)
        self._sold = sold
        try:
            self._keys = AnnouncerKeys(conf.parent, sold).read()
        except UsageError as error:
            raise ConfigError(
                f"{error}; fs-tunnel market announce makes this key",
                source=str(conf),
                key="network",
            ) from None
        self._node: ProviderNode | None = None
        self._launcher: ForkServer | None = None

    def prepare(self, uid: int, gid: int) -> None:
        """As root, start the process that will start network processes as that user."""
        if self._network is not None:
            self._launcher = ForkServer(uid, gid)

    @property
    def fingerprint(self) -> bytes:
        """A value that changes with the keys. An agent with other keys must be started again."""
        if self._network is None:
            return b""
        return bytes(self._keys.node.verify_key) + bytes(self._keys.heartbeat.verify_key)

    @property
    def stun_servers(self) -> tuple[Endpoint, ...]:
        """Full nodes that say where they see the tunnel's socket."""
        return () if self._network is None else punch.stun_servers(self._network.bootstrap)

    async def run(
        self,
        folder: Path,
        account: Address,
        quote_key: Address,
        wireguard_key: PublicKey,
        price: Price,
        places: int,
        free: Callable[[], int],
        on_session: OnSession,
    ) -> None:
        """Announce until cancelled. Without a section [network], only wait.

        It raises HostGone if only another agent can go on. ``folder`` is for the libp2p identity.
        ``free`` says how many of ``places`` are free. ``on_session`` negotiates with a peer.
        """
        if self._network is None:
            await asyncio.Event().wait()
            return
        sold = self._sold

        def offer(peer_key: bytes) -> tuple[ProviderRecord, int]:
            record = ProviderRecord(
                provider=account.raw,
                sequence=0,
                expires_at=0,
                endpoints=(sold.endpoint,),
                sales=sold.negotiates_at,
                wireguard_key=wireguard_key,
                peer_key=peer_key,
                quote_key=quote_key.raw,
                price_per_gib=price.per_gib,
                price_per_hour=price.per_hour,
                slots=places,
                claimed_country=sold.country.encode(),
                services=sum(_SERVICES[each] for each in set(sold.services)),
                refused_ports=tuple(PortRange(*each) for each in sold.refused_ports),
            )
            return record, free()

        settings = Settings(
            folder=str(folder),
            network=self._id,
            listen=self._network.listen,
            finds_local_peers=self._network.local_peers,
            max_connections=_MAX_CONNECTIONS,
            max_memory=_MAX_MEMORY,
        )
        while True:
            self._node = ProviderNode(
                settings,
                self._network.bootstrap,
                self._keys,
                offer,
                entropy=os.urandom,
                relayed=sold.relay,
                launcher=self._launcher,
                on_session=on_session,
            )
            await self._announce(self._node)
            await asyncio.sleep(_BEGIN_AGAIN)

    async def _announce(self, node: ProviderNode) -> None:
        """Announce until that fails; clients must not notice the failure."""
        assert self._launcher is not None
        running = asyncio.create_task(node.run())
        losing = asyncio.create_task(self._launcher.lost.wait())
        try:
            await asyncio.wait({running, losing}, return_when=asyncio.FIRST_COMPLETED)
            if losing.done():
                raise HostGone("no network process can be started any more; the agent starts again")
            log.error("announcing ended, and begins again: %r", running.exception())
        finally:
            running.cancel()
            losing.cancel()

    def describe(self) -> dict[str, Any] | None:
        """The state for ``status``; None if there is no section [network]."""
        if self._network is None:
            return None
        if self._node is None:
            return {"state": "starting"}
        now = self._node.standing
        reason = now.reason.value if now.reason else None
        remedy = remedy_for(now.reason) if now.reason else None
        if now.failure:
            state, reason, remedy = "starting", now.failure, _WAIT
        elif now.taken_by:
            state = "announced"
        elif now.connected and now.reason:
            state = "refused"
        else:
            state = "searching"
        return {
            "state": state,
            "peer": now.peer.hex(),
            "pid": self._node.host.pid,
            "full_nodes": now.taken_by,
            "connected": now.connected,
            "relays": now.reservations,
            "reason": reason,
            "remedy": remedy,
        }


def remedy_for(reason: Reason) -> str:
    """What a provider can do if full nodes refuse its announcement."""
    return _REMEDIES.get(reason, _WAIT)


def _missing(conf: Path, key: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"missing, and the section [network] needs it; {remedy}", source=str(conf), key=key
    )
