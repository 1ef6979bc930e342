# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider, two clients and a web server run the commands that a user types.

client  198.51.100.2 --- 198.51.100.1   provider   203.0.113.10 (wan) --- 203.0.113.20  web
other   198.51.100.130 - 198.51.100.129
"""

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.netns.peers import KeyPair
from tests.netns.topology import REPOSITORY, Namespace, Topology
from tests.netns.waiting import wait_until
from tools.testing import commands

GATEWAY_V4, GATEWAY_V6 = "10.66.0.1", "fd66::1"
WEB_V4, WEB_V6 = "203.0.113.20", "2001:db8:2::20"
PROVIDER_WAN_V4 = "203.0.113.10"
LAB = ("--allow-dest", "203.0.113.0/24", "--allow-dest", "2001:db8:2::/64")

_names = itertools.count(1)


@dataclass(frozen=True)
class Finished:
    """The exit code and the output of a command that ended."""

    code: int
    out: str
    err: str


@dataclass(eq=False)
class Client:
    """A client, with its namespace, its file and its addresses inside the tunnel."""

    namespace: Namespace
    conf: Path
    keys: KeyPair
    v4: str
    v6: str

    @property
    def name(self) -> str:
        return self.conf.stem


@dataclass(eq=False)
class Served:
    """The scene, in which no tunnel is up at first."""

    topology: Topology
    provider: Namespace
    web: Namespace
    client: Client
    other: Client
    conf: Path
    keys: KeyPair
    folder: Path

    @property
    def name(self) -> str:
        return self.conf.stem

    @property
    def env(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(REPOSITORY),
            "FS_TUNNEL_STATE_DIR": str(self.folder / "state"),
            "FS_TUNNEL_RUN_DIR": str(self.folder / "run"),
        }

    def fs_tunnel(
        self,
        where: Namespace,
        *arguments: str | Path,
        module: str = "fs_tunnel.cli.main",
        env: Mapping[str, str] | None = None,
        is_forked: bool = True,
    ) -> Finished:
        """Run ``fs-tunnel`` to its end, whatever its exit code is; see ``commands.fs_tunnel``."""
        done = commands.fs_tunnel(
            *arguments,
            module=module,
            env={**self.env, **(env or {})},
            network=where.name,
            is_forked=is_forked,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def command(self, *arguments: str | Path, module: str = "fs_tunnel.cli.main") -> list[str]:
        return [sys.executable, "-m", module, *map(str, arguments)]

    def serve(self, *options: str) -> None:
        """Run ``fs-tunnel serve``, which must succeed."""
        expect_ok(self.fs_tunnel(self.provider, "serve", *LAB, *options, self.conf))

    def serve_apart(self, *options: str) -> None:
        """Serve as on another host: the clients' commands do not see the provider's journals.

        Only then do the clients restore a kernel parameter that both sides change.
        """
        expect_ok(
            self.fs_tunnel(self.provider, "serve", *LAB, *options, self.conf, env=self._apart)
        )

    def down_apart(self) -> None:
        expect_ok(self.fs_tunnel(self.provider, "down", self.conf, env=self._apart))

    @property
    def _apart(self) -> dict[str, str]:
        return {"FS_TUNNEL_STATE_DIR": str(self.folder / "provider")}

    def up(self, client: Client | None = None, *options: str) -> None:
        """Run ``fs-tunnel up``, which must succeed."""
        client = client or self.client
        expect_ok(self.fs_tunnel(client.namespace, "up", *options, client.conf))

    def down(self, where: Namespace, conf: Path) -> None:
        expect_ok(self.fs_tunnel(where, "down", conf))

    def refused(self, name: str) -> int:
        """Return how many packets the provider's firewall counted under ``name``."""
        listed = json.loads(self.provider.run("nft", "-j", "list", "counters"))
        counters = [each["counter"] for each in listed["nftables"] if "counter" in each]
        return sum(int(each["packets"]) for each in counters if each["name"] == name)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Build the scene; every process in it ends with it."""
    with Topology() as topology:
        provider, web = topology.namespace("prov"), topology.namespace("web")
        topology.link(
            *(provider, "wan", [f"{PROVIDER_WAN_V4}/24", "2001:db8:2::10/64"]),
            *(web, "wan", [f"{WEB_V4}/24", f"{WEB_V6}/64"]),
        )
        provider.ip("route", "add", "default", "via", WEB_V4)
        provider.ip("-6", "route", "add", "default", "via", WEB_V6)
        keys = KeyPair.generate()
        conf = folder / f"p{os.getpid():x}{next(_names):x}.conf"
        clients = [
            _client(topology, provider, folder, keys.public, number, outside)
            for number, outside in enumerate(("198.51.100.", "198.51.100.1"), start=2)
        ]
        write_private(
            conf,
            "[Interface]",
            f"PrivateKey = {keys.private}",
            f"Address = {GATEWAY_V4}/24, {GATEWAY_V6}/64",
            "ListenPort = 51820",
            *(
                line
                for each in clients
                for line in (
                    "[Peer]",
                    f"PublicKey = {each.keys.public}",
                    # They are wider than the tunnel's network, so the firewall must stop spoofing.
                    f"AllowedIPs = {each.v4}/32, {each.v6}/128, 10.77.{each.v4[-1]}.0/24",
                )
            ),
        )
        client, other = clients
        yield Served(topology, provider, web, client, other, conf, keys, folder)


def settle(*namespaces: Namespace) -> None:
    """Wait for the link-local addresses, which appear by themselves some time after a link."""

    def is_settled() -> bool:
        return not any("tentative" in each.ip("-6", "address") for each in namespaces)

    wait_until(is_settled, what="addresses are settled")


def ping(where: Namespace, address: str) -> None:
    """Ping an address, and raise CommandFailed if nobody answers."""
    where.run("ping", "-n", "-c", "1", "-w", "10", address)


def _client(
    topology: Topology,
    provider: Namespace,
    folder: Path,
    provider_key: str,
    number: int,
    outside: str,
) -> Client:
    namespace = topology.namespace("cli")
    near, far = (f"{outside}2", f"{outside}1") if number == 2 else (f"{outside}30", f"{outside}29")
    link = f"lan{number}"
    topology.link(namespace, "wire", [f"{near}/25"], provider, link, [f"{far}/25"])
    namespace.ip("route", "add", "default", "via", far)
    client = Client(
        namespace,
        folder / f"c{os.getpid():x}{next(_names):x}.conf",
        KeyPair.generate(),
        f"10.66.0.{number}",
        f"fd66::{number}",
    )
    write_private(client.conf, *client_lines(client, provider_key, far))
    return client


def client_lines(client: Client, provider_key: str, provider_outside: str) -> Sequence[str]:
    """Return the file of a client that sends all its traffic through the provider."""
    return (
        "[Interface]",
        f"PrivateKey = {client.keys.private}",
        f"Address = {client.v4}/32, {client.v6}/128",
        "[Peer]",
        f"PublicKey = {provider_key}",
        f"Endpoint = {provider_outside}:51820",
        "AllowedIPs = 0.0.0.0/0, ::/0",
    )


def write_private(path: Path, *lines: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def expect_ok(finished: Finished) -> None:
    assert finished.code == 0, finished


# The kernel draws these secrets: one for TCP Fast Open, and one for each TUN.
_DRAWN = ("tcp_fastopen_key", "stable_secret")


def host_state(where: Namespace) -> str:
    """Return all of the host that a tunnel may change; it must be the same before and after."""
    commands = (
        ("nft", "--stateless", "list", "ruleset"),
        ("ip", "rule"),
        ("ip", "-6", "rule"),
        ("ip", "route", "show", "table", "all"),
        ("ip", "-6", "route", "show", "table", "all"),
        ("ip", "-o", "address"),
        ("cat", "/etc/resolv.conf"),
        ("sysctl", "-a", "--pattern", r"^net\.(core|ipv4|ipv6)\."),
    )
    lines = "\n".join(where.run(*command) for command in commands).splitlines(keepends=True)
    return "".join(line for line in lines if not any(name in line for name in _DRAWN))
