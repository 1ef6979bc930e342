# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``serve --market`` starts a provider's agent, and says whether it sells."""

import time
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import ip_interface
from pathlib import Path

from fs_market.core.wire.signatures import SigningKey
from fs_market.money.wallet import Wallet, parse_secret
from fs_market.settings import read, read_provider
from fs_tunnel.config import TunnelConfig
from fs_tunnel.console.questions import read_secret
from fs_tunnel.console.text import say, warn
from fs_tunnel.helper.client import HelperClient
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.routing.links import Address, LinkUp
from fs_tunnel.proto.crypto import public_key
from fs_tunnel.roles.market_files import MarketFiles, agent_user
from fs_tunnel.roles.provider.announcing import Announcement
from fs_tunnel.roles.starts import ProviderStart, User
from fs_wire.errors import ConfigError, ControlError, NotRunningError
from fs_wire.patience import patient
from fs_wire.types import PublicKey

_READY_WITHIN = patient(15.0)  # seconds


class Sale:
    """What one tunnel sells; ConfigError if settings or keys are wrong, before it is up."""

    def __init__(self, config: TunnelConfig, conf: Path, user: int) -> None:
        self._config, self._conf, self._account = config, conf, agent_user(user)
        self._files = MarketFiles(config.name)
        market, sold = read(conf), read_provider(conf)
        Wallet(parse_secret(read_secret(conf.parent / sold.key_file)))
        SigningKey(parse_secret(read_secret(conf.parent / sold.node_key_file)))
        if sold.endpoint.port != (config.interface.listen_port or sold.endpoint.port):
            raise ConfigError(
                f"the tunnel listens on port {config.interface.listen_port}; write the same port",
                source=str(conf),
                key="provider.endpoint",
            )
        self._announcement = Announcement(conf, market, sold)
        self.payment_port = sold.payment_port
        before = self._files.read_start()
        self._of_the_file = before.reserved if isinstance(before, ProviderStart) else ()

    def keeps(self, peer: PublicKey) -> bool:
        """Whether a peer that is not in the tunnel's file stays in the engine.

        It does unless it came from the file as it was before.
        """
        return peer not in self._of_the_file

    def prepare(self, plan: Sequence[Change], *, has_resolver: bool) -> str:
        """Write the agent's start, and return the path of its file."""
        config, account = self._config, self._account
        addresses = tuple(ip_interface(each.address) for each in plan if isinstance(each, Address))
        gateways = tuple(each.ip for each in addresses)
        self._files.prepare(account)
        key = PublicKey(public_key(config.interface.private_key.raw))
        digest = sha256(self._conf.read_bytes() + self._announcement.fingerprint)
        self._files.write_start(
            ProviderStart(
                user=User(account.pw_uid, account.pw_gid),
                conf=self._conf.absolute(),
                conf_digest=digest.hexdigest(),  # another digest: the helper starts another agent
                books=self._files.books,
                wireguard_key=key,
                addresses=addresses,
                dns=gateways if has_resolver else (),
                mtu=next(each.mtu for each in plan if isinstance(each, LinkUp)),
                reserved=tuple(each.public_key for each in config.peers),
                taken=tuple(
                    network.network_address
                    for each in config.peers
                    for network in each.allowed_ips
                    if network.num_addresses == 1
                ),
            )
        )
        return str(self._files.start)

    def tell_readiness(self) -> None:
        """Say what is sold as soon as the agent sells, or why it does not."""
        give_up = time.monotonic() + _READY_WITHIN
        while time.monotonic() < give_up:
            try:
                told = HelperClient(self._config.name).status()["market"]
            except (NotRunningError, ControlError):
                break
            if told and told["state"] == "ready":
                say(f"selling at {told['listen']}, for {told['price']}")
                return
            if told and told["state"] == "failed":
                warn(f"the tunnel is up, but it is not sold: {told['error']}")
                return
            time.sleep(0.1)
        warn("the tunnel is up, but it is not sold yet; see fs-tunnel status")
