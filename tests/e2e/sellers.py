# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Providers on their own hosts, run by the commands that a user types."""

import os
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.backbone import PROVIDERS, host_of, joined
from tests.e2e.market import PAYMENT, SALES, WEB, Market, account_of, make_keystore
from tests.netns.served import expect_ok, host_state
from tests.netns.topology import Namespace, unique_name
from tests.netns.waiting import wait_until

TUNNEL = 51820
_CLIENTS = 100


@dataclass(frozen=True)
class Seller:
    """A provider; its account in the chain's folder has its name, and ``host`` has its tunnel."""

    name: str
    host: Market
    namespace: Namespace
    address: str
    country: str
    tunnel: str
    at_first: str  # the state of its namespace at first

    @property
    def folder(self) -> Path:
        return self.host.folder / self.name

    @property
    def account(self) -> str:
        return str(account_of(self.host, self.name).address)

    def write_settings(self, price: str, bootstrap: str) -> None:
        """Write its settings; ``price`` is for a GiB, in whole tokens."""
        host, key = self.host, self.folder / "node.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(secrets.token_hex(32) + "\n")
        (self.folder / "sale.toml").write_text(
            f"{host.settings.read_text()}\n[provider]\n"
            f'listen = "{self.address}:{SALES}"\nendpoint = "{self.address}:{TUNNEL}"\n'
            f'price = "{price} {host.symbol}/GiB"\ncountry = "{self.country}"\n'
            f'key_file = "{host.folder / "chain" / f"{self.name}.key"}"\n'
            f'node_key_file = "{key}"\npayment_port = {PAYMENT}\nclients = {_CLIENTS}\n'
            f'\n[network]\nbootstrap = ["{bootstrap}"]\n'
        )

    def market(self, *words: str) -> None:
        """Run ``fs-tunnel market``, which must succeed."""
        done = self.host.fs_tunnel(
            self.namespace,
            *("market", *words, "--yes", "--settings", str(self.folder / "sale.toml")),
            *("--wallet", make_keystore(self.host, self.name)),
            *("--password-file", self.host.folder / "password"),
        )
        expect_ok(done)

    def stand(self) -> None:
        """Stake, and write the entry in the Registry."""
        self.market("stake", str(_CLIENTS), self.host.symbol)
        self.market("announce")

    def serve(self) -> None:
        conf = self.folder / f"{self.tunnel}.conf"
        if not conf.exists():
            key = self.host.ok(self.namespace, "genkey").strip()
            conf.touch(mode=0o600)
            conf.write_text(
                f"[Interface]\nPrivateKey = {key}\nAddress = 10.66.0.1/24\nListenPort = {TUNNEL}\n"
            )
        self.host.ok(
            self.namespace,
            *("serve", "--allow-dest", f"{WEB}/32", "--no-dns"),
            *("--market", self.folder / "sale.toml", conf),
        )

    def down(self) -> None:
        self.host.ok(self.namespace, "down", self.tunnel)

    def kill(self) -> None:
        """Kill everything as a power cut would, but keep the state of the kernel."""
        for pid in self.namespace.pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.namespace.pids(), what=f"{self.name} is dead")

    def money(self) -> dict[str, Any]:
        return self.host.money(self.tunnel)

    def is_gone(self) -> bool:
        """Whether nothing of it is left on its host."""
        return not self.namespace.pids() and host_state(self.namespace) == self.at_first


def seller(scene: Market, number: int, country: str) -> Seller:
    """Make a host on which nothing is served yet."""
    name = f"provider{number}"
    namespace, address = joined(scene, "prov", PROVIDERS, number)
    # Serving must not change this.
    namespace.sysctl("net/ipv4/ip_forward", 1)
    host = host_of(scene, namespace, name)
    tunnel = unique_name("sell")
    return Seller(name, host, namespace, address, country, tunnel, host_state(namespace))
