# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""fullnode, as a user runs it: what it gathers is found, and found again after a restart."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Erc20, Offer, Registry, StakeBook
from fs_market.chain.devchain import CHAIN_ID
from fs_market.chain.sender import Patience, Sender
from fs_market.journal import Journal
from fs_market.money.wallet import Wallet, parse_secret
from fs_market.settings import read
from fs_net.bridge import Settings
from fs_net.core.matching import Wishes
from fs_net.core.questions import Deliver, Delivered, Find, Found, parse_untrusted, serialize
from fs_net.core.records import network_id
from fs_net.host import Host
from fs_tunnel.cli.fullnode import all_of
from tests.net.fullnode.databases import postgresql
from tests.net.fullnode.scene import as_batch
from tests.net.test_host import Program
from tests.net.world import HOUR, Provider
from tests.walks import at_length
from tools.testing import patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(60)  # s
LISTEN = "/ip4/127.0.0.1/tcp/0"
STAKE = 200 * 10**6


@dataclass(frozen=True, slots=True)
class Market:
    """A development chain that lists bob."""

    settings: Path
    network: bytes
    bob: Provider


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("chain")
    command = [str(PROGRAM), "chain", "dev", "--json", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as chain:
        try:
            assert chain.stdout is not None
            assert chain.stdout.readline()
            settings = folder / "market.toml"
            registry = read(settings).registry
            assert registry is not None
            network = network_id(CHAIN_ID, registry.raw)
            bob = Provider(1, network)
            asyncio.run(announce(settings, bob))
            yield Market(settings, network, bob)
        finally:
            chain.send_signal(signal.SIGINT)
            chain.wait(DEADLINE)


async def announce(path: Path, bob: Provider) -> None:
    """Stake for bob, whose address is the provider's account from here on."""
    settings = read(path)
    assert settings.registry
    assert settings.stakes
    wallet = Wallet(parse_secret((path.parent / "provider.key").read_text()))
    bob.address = wallet.address.raw
    bob.offer = replace(bob.offer, provider=bob.address)
    async with (
        Chain(settings.rpc, settings.chain_id, confirmations=1) as chain,
        Journal(path.parent / "bob.journal", chain.genesis) as journal,
    ):
        sender = Sender(chain, journal, wallet, settings.fees, Patience(poll=0.02))
        token, stakes = Erc20(chain, settings.token), StakeBook(chain, settings.stakes)
        keys = (bytes(bob.keys.node.verify_key), bytes(bob.keys.heartbeat.verify_key))
        offer = Offer(bob.offer.slots, bytes(31) + b"\1")
        me = wallet.address
        for name, call in (
            ("approve", token.approve(stakes.address, STAKE)),
            ("deposit", stakes.deposit(STAKE)),
            ("register", stakes.register(me, STAKE)),
            ("announce", Registry(chain, settings.registry).announce(me, me, *keys, offer)),
        ):
            await sender.carry_out(name, call)


def command_of(market: Market, folder: Path, *options: str) -> list[str]:
    """Root is given up where the test has it: the program is to need none of its powers."""
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return [
        *(unprivileged if os.geteuid() == 0 else []),
        *(str(PROGRAM), "fullnode", "--settings", str(market.settings), "--json"),
        *("--folder", str(folder), "--listen", LISTEN, *options),
    ]


@contextmanager
def running(
    market: Market, folder: Path, *options: str, env: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The program, and what it said when it was ready; ended by SIGTERM."""
    with subprocess.Popen(
        command_of(market, folder, *options),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                assert said["schema"] == 1
                if said["event"] == "ready":
                    break
            yield process, said
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0


def refused(market: Market, folder: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        command_of(market, folder, *options),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("fs-tunnel: error: ")
    return done.returncode, done.stderr


@asynccontextmanager
async def neighbour(folder: Path, network: bytes, address: str) -> AsyncIterator[Host]:
    """A peer that is connected."""
    host = Host(Settings(str(folder), network, (LISTEN,)), Program())
    await host.start()
    try:
        await host.connect(address)
        yield host
    finally:
        await host.close()


def found(market: Market, folder: Path, said: dict[str, Any], *deliver: bytes) -> list[bytes]:
    """Deliver something, and ask for whom there is, silent ones included."""

    async def ask() -> list[bytes]:
        async with neighbour(folder, market.network, said["addresses"][0]) as host:
            (peer,) = (await host.info())["connected"]
            for data in deliver:
                answer = parse_untrusted(await host.ask(peer, serialize(Deliver(data))))
                assert answer == Delivered((0, 0))
            question = serialize(Find.of(Wishes(min_free_slots=0)))
            async with asyncio.timeout(DEADLINE):
                while True:
                    answer = parse_untrusted(await host.ask(peer, question))
                    assert isinstance(answer, Found)
                    if answer.hits:
                        return [each.record for each in answer.hits]
                    await asyncio.sleep(1)

    return asyncio.run(ask())


@pytest.mark.parametrize("database", ["sqlite", *at_length("postgresql")])
def test_what_it_gathers_is_found_also_after_a_restart(
    database: str, market: Market, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = []
    if database == "postgresql":
        options = ["--database", request.getfixturevalue("cluster")]
    with running(market, tmp_path / "full", *options) as (_, said):
        assert said["listed"] == 1
        now = time.time_ns() // 10**6
        record = market.bob.record(now, HOUR)
        batch = as_batch(record, market.bob.heartbeat(now))
        assert found(market, tmp_path / "alice", said, batch) == [record.raw]
    with running(market, tmp_path / "full", *options) as (_, again):
        assert found(market, tmp_path / "alice", again) == [record.raw]
        name = said["addresses"][0].rpartition("/")[2]
        assert again["addresses"][0].endswith(name)  # the same full node


def test_its_page_and_its_api_show_the_same(market: Market, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(market, tmp_path / "full", "--api", f"127.0.0.1:{port}") as (_, said):
        assert said["page"] == f"http://127.0.0.1:{port}"
        now = time.time_ns() // 10**6
        batch = as_batch(market.bob.record(now, HOUR), market.bob.heartbeat(now))
        found(market, tmp_path / "alice", said, batch)
        bob = "0x" + market.bob.address.hex()
        for path in ("/", "/api/v1/providers"):
            connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.request("GET", path)
            assert bob in connection.getresponse().read().decode().lower()
            connection.close()
        code, why = refused(market, tmp_path / "another", "--api", f"127.0.0.1:{port}")
        assert (code, "--api" in why) == (2, True)
    code, why = refused(market, tmp_path / "another", "--origin", "https://node.example")
    assert (code, "--api" in why) == (2, True)


def test_a_manager_is_told_and_nobody_takes_its_folder(market: Market, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(DEADLINE)
        manager.bind(str(tmp_path / "notify"))
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with running(market, tmp_path / "full", env=env):
            assert manager.recv(100) == b"READY=1"
            code, why = refused(market, tmp_path / "full")
            assert (code, "already" in why) == (2, True)
        assert manager.recv(100) == b"STOPPING=1"


def test_ctrl_c_is_an_interruption(market: Market, tmp_path: Path) -> None:
    with subprocess.Popen(
        command_of(market, tmp_path / "full"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 130


def test_what_cannot_run_says_why(market: Market, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    assert refused(market, folder, "--database", "mysql://host/name")[0] == 2
    code, why = refused(market, folder, "--database", "postgresql://bob:hunter2@host/name")
    assert (code, "hunter2" in why, "pgpass" in why) == (2, False, True)
    code, why = refused(market, folder, "--database", f"sqlite:///{tmp_path}/nowhere/store")
    assert (code, "nowhere" in why) == (1, True)
    code, why = refused(market, folder, "--rpc", "http://127.0.0.1:9")
    assert (code, "cannot be reached" in why) == (1, True)
    (tmp_path / "file").touch()
    assert refused(market, tmp_path / "file" / "folder")[0] == 2


def test_settings_without_a_registry_are_refused(market: Market, tmp_path: Path) -> None:
    lines = market.settings.read_text().splitlines()
    path = tmp_path / "market.toml"
    path.write_text("\n".join(each for each in lines if not each.startswith("registry")))
    code, why = refused(replace(market, settings=path), tmp_path / "full")
    assert (code, "registry" in why) == (2, True)
    path.write_text(market.settings.read_text() + "\n[network]\nbootstrap = 5\n")
    code, why = refused(replace(market, settings=path), tmp_path / "full")
    assert (code, "network.bootstrap" in why) == (2, True)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_nothing_runs_on_when_the_work_ends(is_cancelled: bool) -> None:
    """A server that is ending would be cut off by the end of the loop, and complain."""
    turns = 5
    ended: list[str] = []

    async def waits() -> None:
        await asyncio.Event().wait()

    async def fails() -> None:
        raise OSError

    async def ends_slowly() -> None:
        try:
            await waits()
        finally:
            for _ in range(turns):
                await asyncio.sleep(0)
            ended.append("slowly")

    async def scene() -> None:
        work = asyncio.create_task(all_of(waits() if is_cancelled else fails(), ends_slowly()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if is_cancelled:
            work.cancel()
        with pytest.raises(asyncio.CancelledError if is_cancelled else OSError):
            await work
        assert ended == ["slowly"]

    asyncio.run(scene())
