# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider with a price, a client with a wallet, and a chain on the internet, in namespaces.

client  198.51.100.2 --- 198.51.100.1  provider  203.0.113.1 --- 203.0.113.80  internet: chain, web
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels
from fs_market.core.wire.ethereum import Address
from fs_market.money.wallet import Wallet, parse_secret
from fs_market.settings import read
from tests.keystores import write_keystore
from tests.netns.served import Finished, expect_ok
from tests.netns.topology import REPOSITORY, Namespace, Topology, unique_name
from tests.netns.waiting import wait_until
from tools.testing import commands, patience

PROVIDER, PROVIDER_WAN, WEB = "198.51.100.1", "203.0.113.1", "203.0.113.80"
SALES, PAYMENT = 4700, 4701
RPC = f"http://{WEB}:8545"
WINDOW = 1 << 20
NAME, SOLD = unique_name("paid"), unique_name("sale")


@dataclass(frozen=True)
class Fetching:
    """A download that is running; ``count`` bytes are wanted."""

    process: "subprocess.Popen[bytes]"
    target: Path
    count: int

    @property
    def done(self) -> int:
        return self.target.stat().st_size if self.target.exists() else 0

    def stalled(self) -> int:
        """Wait until no byte has come for two seconds; return the bytes that came before."""
        seen, since = self.done, time.monotonic()
        deadline = since + 30
        while time.monotonic() < deadline:
            time.sleep(0.1)
            if self.done != seen:
                seen, since = self.done, time.monotonic()
            elif time.monotonic() - since > 2:
                return seen
        raise AssertionError(f"it does not stall; {self.done} bytes have come")

    def finish(self) -> None:
        assert self.process.wait(timeout=patience.seconds(100)) == 0
        assert self.done == self.count


@dataclass(eq=False)
class Market:
    """The scene: the chain runs, and nothing is served yet."""

    topology: Topology
    client: Namespace
    provider: Namespace
    internet: Namespace
    folder: Path
    price: str  # whole tokens for a GiB
    wan: str = "wan"  # the provider's uplink
    symbol: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    at_first: dict[str, int] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "FS_TUNNEL_STATE_DIR": str(self.folder / "state"),
            "FS_TUNNEL_RUN_DIR": str(self.folder / "run"),
            **self.extra,
        }

    def command(self, where: Namespace, *arguments: str | Path) -> list[str]:
        program = (sys.executable, "-m", "fs_tunnel.cli.main")
        return ["ip", "netns", "exec", where.name, *program, *map(str, arguments)]

    def fs_tunnel(self, where: Namespace, *arguments: str | Path) -> Finished:
        """Run ``fs-tunnel`` to its end, whatever its exit code."""
        done = commands.fs_tunnel(*arguments, env=self.env, network=where.name)
        return Finished(done.returncode, done.stdout, done.stderr)

    def ok(self, where: Namespace, *arguments: str | Path) -> str:
        """Run ``fs-tunnel``, which must succeed; return its output."""
        finished = self.fs_tunnel(where, *arguments)
        expect_ok(finished)
        return finished.out

    @property
    def settings(self) -> Path:
        return self.folder / "chain" / "market.toml"

    def serve(self) -> str:
        conf, sale = self.folder / f"{SOLD}.conf", self.folder / "sale.toml"
        return self.ok(
            self.provider,
            *("serve", "--wan", self.wan, "--allow-dest", "203.0.113.0/24", "--no-dns"),
            *("--market", sale, conf),
        )

    def up(self, *options: str) -> str:
        return self.ok(
            self.client,
            *("up", "--provider", f"{PROVIDER}:{SALES}", "--max-price", f"20 {self.symbol}/GiB"),
            *("--budget", f"5 {self.symbol}", "--yes", "--settings", self.settings),
            *("--wallet", self.folder / "wallet.json", "--password-file", self.folder / "password"),
            *options,
            NAME,
        )

    def down(self) -> str:
        return self.ok(self.client, "down", NAME)

    def status(self, where: Namespace, name: str) -> dict[str, Any]:
        """Return what ``status --json`` says about a tunnel."""
        tunnels = json.loads(self.ok(where, "status", "--json", name))["tunnels"]
        assert isinstance(tunnels, list)
        found = tunnels[0]
        assert isinstance(found, dict)
        return found

    def money(self, name: str) -> dict[str, Any]:
        """Return what an agent says about its money."""
        where = self.client if name == NAME else self.provider
        told = self.status(where, name)["market"]
        assert isinstance(told, dict)
        return told

    def begin(self) -> None:
        """Note the accounts now, so that ``gained`` can compare."""
        self.at_first = dict.fromkeys(("client", "provider"), 0)
        self.at_first = {name: self.gained(name) for name in self.at_first}

    def gained(self, name: str) -> int:
        """Return how many base units an account in the contract has gained, from the chain."""
        with self.internet.entered():
            ledger = asyncio.run(_ledger_of(self.settings, account_of(self, name).address))
        return ledger - self.at_first[name]

    def signal_agent(self, name: str, number: signal.Signals) -> int:
        """Send a signal to an agent; return its pid."""
        pid = int(self.money(name)["pid"])
        os.kill(pid, number)
        return pid

    def wait_for_agent(self, name: str, state: str, *, but: int = 0) -> dict[str, Any]:
        """Wait until an agent is in that state, and is not the process ``but``."""

        def found() -> dict[str, Any]:
            told = self.money(name)
            return told if told["state"] == state and told["pid"] not in (None, but) else {}

        return wait_until(found, what=f"the agent of {name} is {state}", seconds=40)

    def fetching(self, count: int, *options: str, name: str = "file.bin") -> "Fetching":
        """Start a download in the background over one TCP connection; ``options`` are curl's."""
        target = self.folder / "fetched.bin"
        target.unlink(missing_ok=True)
        process = self.client.start(
            *("curl", "-sS", "--max-time", f"{patience.seconds(100):g}", "-o", str(target)),
            *("-r", f"0-{count - 1}", *options, f"http://{WEB}/{name}"),
        )
        return Fetching(process, target, count)

    def fetch(self, count: int) -> int:
        """Download so many bytes through the tunnel; return how many came."""
        done = self.client.run(
            *(
                "curl",
                "-sS",
                "--max-time",
                f"{patience.seconds(60):g}",
                "-o",
                "/dev/null",
                "-w",
                "%{size_download}",
            ),
            *("-r", f"0-{count - 1}", f"http://{WEB}/file.bin"),
        )
        return int(done)


@contextlib.contextmanager
def market(price: str = "10") -> Iterator[Market]:
    """Build the scene; everything that was started in it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="fs-e2e-") as made, Topology() as topology:
        folder = Path(made)
        folder.chmod(0o711)  # the agents' books are in it
        client, provider, internet = map(topology.namespace, ("cli", "prov", "inet"))
        topology.link(client, "eth0", ["198.51.100.2/24"], provider, "eth0", [f"{PROVIDER}/24"])
        topology.link(provider, "wan", [f"{PROVIDER_WAN}/24"], internet, "wan", [f"{WEB}/24"])
        client.ip("route", "add", "default", "via", PROVIDER)
        provider.ip("route", "add", "default", "via", WEB)
        internet.ip("route", "add", "198.51.100.0/24", "via", PROVIDER_WAN)
        provider.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield furnished(Market(topology, client, provider, internet, folder, price))


def furnished(scene: Market) -> Market:
    """Add a chain, a web server, an offer, and a wallet with money."""
    start_chain(scene)
    start_web(scene)
    _write_sale(scene)
    make_wallet(scene)
    return scene


def start_chain(scene: Market) -> None:
    directory = scene.folder / "chain"
    chain = scene.internet.start(
        *(sys.executable, "-m", "fs_tunnel.cli.main", "chain", "dev"),
        *("--address", WEB, "--port", "8545", "--directory", str(directory)),
        env=scene.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(
        lambda: scene.settings.exists() or chain.poll() is not None, what="the chain is there"
    )
    assert chain.poll() is None


def start_web(scene: Market) -> None:
    site = scene.folder / "site"
    site.mkdir()
    with (site / "file.bin").open("wb") as file:
        file.truncate(256 << 20)
    web = scene.internet.start(
        *(sys.executable, "-m", "tests.e2e.web", WEB, "80"),
        cwd=str(site),
        env=scene.env,
    )
    wait_until(
        lambda: f"{WEB}:80" in scene.internet.run("ss", "-ltnH") or web.poll() is not None,
        what="the web server listens",
    )
    assert web.poll() is None


def _write_sale(scene: Market) -> None:
    chain = scene.folder / "chain"
    told = tomllib.loads(scene.settings.read_text())
    scene.symbol = symbol_of(scene)
    (chain / "node.key").touch(mode=0o600)
    (chain / "node.key").write_text(secrets.token_hex(32) + "\n")
    sale = scene.folder / "sale.toml"
    sale.write_text(
        scene.settings.read_text()
        + "\n[provider]\n"
        + f'listen = "{PROVIDER}:{SALES}"\n'
        + f'endpoint = "{PROVIDER}:51820"\n'
        + f'price = "{scene.price} {scene.symbol}/GiB"\n'
        + f'key_file = "{chain / "provider.key"}"\n'
        + f'node_key_file = "{chain / "node.key"}"\n'
        + f"payment_port = {PAYMENT}\n"
    )
    assert told["chain"]["rpc"] == RPC
    conf = scene.folder / f"{SOLD}.conf"
    conf.touch(mode=0o600)
    key = scene.ok(scene.provider, "genkey").strip()
    conf.write_text(
        f"[Interface]\nPrivateKey = {key}\nAddress = 10.66.0.1/24\nListenPort = 51820\n"
    )


def symbol_of(scene: Market) -> str:
    said = json.loads(
        scene.ok(
            scene.client,
            *("wallet", "balance", "--json", "--settings", scene.settings),
            *("--wallet", make_keystore(scene)),
        )
    )
    return str(said["account"]["text"].split()[1])


def make_keystore(scene: Market, name: str = "client") -> Path:
    """Return the wallet file of an account, with its password beside it; both are made once."""
    wallet = scene.folder / ("wallet.json" if name == "client" else f"{name}.json")
    password = scene.folder / "password"
    if not password.exists():
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16) + "\n")
    if not wallet.exists():
        write_keystore(wallet, secret_of(scene, name), password.read_text().strip())
    return wallet


def account_of(scene: Market, name: str) -> Wallet:
    """Return an account of this chain, by its name."""
    return Wallet(secret_of(scene, name))


def secret_of(scene: Market, name: str) -> bytes:
    return parse_secret((scene.folder / "chain" / f"{name}.key").read_text().strip())


async def _ledger_of(conf: Path, account: Address) -> int:
    settings = read(conf)
    async with Chain(settings.rpc, settings.chain_id, confirmations=1) as chain:
        return await Channels(chain, settings.channels).balance_of(account)


def make_wallet(scene: Market) -> None:
    scene.ok(
        scene.client,
        *("wallet", "deposit", "100", scene.symbol, "--yes", "--settings", scene.settings),
        *("--wallet", scene.folder / "wallet.json"),
        *("--password-file", scene.folder / "password"),
    )
