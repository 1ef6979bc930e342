# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program of test_session_crashes: both agents are processes, and one is killed at every step.

python -m tests.market.session_crashes VICTIM FIRST STRIDE URL TOKEN CHANNELS DIRECTORY

Engines, chain and files survive. The killed agent is started again, and the session comes to its
end. Then the books of both sides, the engines and the chain must agree.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.deploy import Deployed
from fs_market.core.money.accounting import Increment
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord, ProviderRecord
from fs_market.core.session import client, client_paying, provider, provider_serving
from fs_market.core.session.client import ClientSession
from fs_market.core.session.events import OpenChannel
from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.session.purchase import ClientConfig
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.ethereum import ZERO_ADDRESS, Address, keccak
from fs_market.core.wire.messages import Quote
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MarketError
from fs_market.money import voucher_book
from fs_market.money.settle import SettlementPolicy, Settler
from fs_market.money.voucher_book import Side
from fs_market.money.wallet import Wallet
from fs_market.session import session_book
from fs_market.session.client_agent import Buyer, ClientAgent
from fs_market.session.provider_agent import ProviderAgent
from fs_market.session.provider_sessions import Lodging
from fs_market.session.stream import TcpRoute
from fs_market.session.watch import ChannelWatch
from fs_wire.types import Endpoint, PublicKey
from tests.market import killed_at
from tests.market.crashes import fund, succeeded
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil
from tests.market.parties import Party, party
from tests.market.stub_tunnel import StubTunnel, link

WINDOW = 64 << 10  # bytes, and as many base units
TOTAL = 150_000  # bytes of the download
DEPOSIT = 1_000_000
PRICE = Price(1 << 30, 0)
GATEWAY = ip_address("127.0.0.1")
CLIENT_KEY, PROVIDER_KEY = PublicKey(keccak(b"client")), PublicKey(keccak(b"provider"))
Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """What every session of a program starts with: accounts, contracts and keys."""

    node: Anvil
    contracts: Deployed
    directory: Path
    payer: Wallet
    payee: Wallet
    session_key: SigningKey
    node_key: SigningKey

    def party(self, wallet: Wallet, journal: Path) -> contextlib.AbstractAsyncContextManager[Party]:
        return party(self.node.url, ANVIL_CHAIN_ID, wallet, journal)

    async def prepare(self) -> None:
        """Give the payer tokens in the contract, and a journal that knows it."""
        async with self.party(self.payer, self.directory / "payer.journal") as us:
            token, channels = Erc20(us.chain, self.contracts.token), self.channels(us)
            send = us.sender.carry_out
            await send("mint", token.mint(self.payer.address, DEPOSIT))
            await send("approve", token.approve(channels.address, DEPOSIT))
            await send("deposit", channels.deposit(DEPOSIT))
            await fund(us, self.payee.address)

    def channels(self, us: Party) -> Channels:
        return Channels(us.chain, self.contracts.channels)


class Session:
    """One session in its own folder, run by processes that share it."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene, self.folder = scene, folder
        folder.mkdir()
        shutil.copy(scene.directory / "payer.journal", folder / "client.journal")
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listening.getsockname()[1]
        self.route = TcpRoute("127.0.0.1", self.port)
        self.domain = channels_domain(ANVIL_CHAIN_ID, scene.contracts.channels)

    async def engines(self) -> None:
        await StubTunnel(TOTAL).serve(self.folder)

    async def sell(self) -> None:
        """Act like ``selling_agent``: serve until SIGTERM, then settle."""
        scene, stopped = self.scene, asyncio.Event()
        config = ProviderConfig(
            *(self.domain, scene.contracts.token, scene.payee.address, scene.node_key, PRICE),
            *(Increment(WINDOW, 5, WINDOW, 30), 10_000, 3600, 1, 900),
        )
        place = Place(
            *(PROVIDER_KEY, Endpoint("192.0.2.1", 51820), (ip_address("10.66.0.2"),), ()),
            *(GATEWAY, self.port, 1420),
        )
        async with scene.party(scene.payee, self.folder / "provider.journal") as us:
            channels = scene.channels(us)
            settler = Settler(us.journal, channels, us.sender, SettlementPolicy(1))
            await settler.resume()
            agent = ProviderAgent(
                *(config, Lodging(2, lambda _: place), await link(self.folder, "provider")),
                *(us.journal, ChannelWatch(us.chain, channels, every=0.2)),
                entropy=os.urandom,
            )
            await agent.resume()
            server = await asyncio.start_server(agent.converse, sock=self.listening)
            serving = asyncio.create_task(agent.run())
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            ending = asyncio.create_task(stopped.wait())
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
            assert not serving.done(), serving
            await agent.close(20.0)
            await settler.settle_due(0, agent.is_over)
            serving.cancel()
            server.close()
            agent.hang_up()

    async def buy(self) -> None:
        """Act like ``up`` and ``buying_agent``: negotiate, then pay, then close."""
        scene = self.scene
        config = ClientConfig(
            *(self.domain, scene.contracts.token, scene.payer.address, scene.session_key),
            *(CLIENT_KEY, PRICE, DEPOSIT, scene.node_key.address),
        )

        async def consider(session: ClientSession, _quote: Quote) -> None:
            expires_at = int(time.time()) + 86_400
            session.accept(deposit=DEPOSIT, expires_at=expires_at, salt=os.urandom(32))

        async with scene.party(scene.payer, self.folder / "client.journal") as us:

            async def have_opened(wanted: OpenChannel) -> None:
                call = scene.channels(us).open(wanted.terms, wanted.deposit)
                await us.sender.carry_out(f"open:{wanted.channel.hex()}", call)

            record = await client_record(us)
            agent = ClientAgent(ClientSession(config, record), us.journal)
            if record is None or not record.is_over:
                try:
                    await agent.negotiate(self.route, Buyer(consider, have_opened))
                except MarketError:
                    assert agent.ended is not None  # it hears that the session is over
            record = await client_record(us)
            assert record is not None
            if record.is_over:
                return
            engine = await link(self.folder, "client")
            agent = ClientAgent(ClientSession(config, record), us.journal)
            paying = asyncio.create_task(agent.pay(self.route, engine, PROVIDER_KEY))
            # The traffic passes in another process.
            while not paying.done() and sum(await engine.count(PROVIDER_KEY)) < TOTAL:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            agent.close()
            await paying

    async def agree(self) -> None:
        """Check that both books, the engines and the chain agree to the unit."""
        scene = self.scene
        async with (
            scene.party(scene.payer, self.folder / "client.journal") as payer,
            scene.party(scene.payee, self.folder / "provider.journal") as payee,
        ):
            bought = await client_record(payer)
            assert bought is not None
            (account,) = await payee.journal.do(
                lambda db: [
                    voucher_book.account(db, row[0])
                    for row in db.execute("SELECT id FROM channels")
                ]
            )
            assert account is not None
            assert account.side is Side.PAYEE
            entry = await payee.journal.do(lambda db: session_book.entry(db, account.channel))
            assert entry is not None
            sold = from_bytes_untrusted(ProviderRecord, entry.record)
            channels = scene.channels(payer)
            chain_paid = await channels.balance_of(scene.payee.address)
            chain_left = await channels.balance_of(scene.payer.address)
            reply = await (await link(self.folder, "provider"))._ask({"op": "count"})
            passed = reply["passed"]
            said = f"{passed} passed, {bought} and {sold}, {chain_paid} on the chain"
            assert await payee.journal.do(session_book.unfinished) == [], said
            assert bought.is_over, said
            assert entry.is_over, said
            assert account.is_closed, said
            assert await channels.is_closed(account.channel), said
            assert bought.promised == account.promised == sold.paid == chain_paid, said
            assert chain_left == DEPOSIT - chain_paid, said
            assert passed == TOTAL == chain_paid == sold.meter.usage.bytes, said
            # The channel was opened once and closed once.
            assert await payee.chain.nonce(scene.payee.address) == 1
            assert await payer.chain.nonce(scene.payer.address) == 5
            assert await payee.journal.do(succeeded) == 1
            assert await payer.journal.do(succeeded) == 5


async def client_record(us: Party) -> ClientRecord | None:
    entries = await us.journal.do(session_book.latest_first)
    return from_bytes_untrusted(ClientRecord, entries[0].record) if entries else None


def play(session: Session, victim: str, step: int) -> bool:
    """Run the whole session; return whether the victim reached that step and was killed."""
    roles: dict[str, Work] = {"provider": session.sell, "client": session.buy}
    was_killed = False
    engines = killed_at.start(session.engines)
    try:
        while not (session.folder / "engines").exists():
            time.sleep(0.005)
        running = {
            name: killed_at.start(work, step if name == victim else None)
            for name, work in roles.items()
        }
        while running:
            pid, status = os.wait()
            (name,) = [name for name, each in running.items() if each == pid]
            del running[name]
            ended = os.waitstatus_to_exitcode(status)
            if ended == killed_at.DIED and name == victim and not was_killed:
                was_killed = True
                running[name] = killed_at.start(roles[name])
            else:
                assert ended == 0, f"the {name} ended with {ended}"
            if "client" not in running and "provider" in running:
                os.kill(running["provider"], signal.SIGTERM)
        assert killed_at.in_process(session.agree) == 0
    finally:
        os.kill(engines, signal.SIGKILL)
        os.waitpid(engines, 0)
        session.listening.close()
    return was_killed


def main() -> None:
    victim, first, stride, url, token, channels, directory = sys.argv[1:]
    # Nobody is away for long here, so the test shortens all waits.
    client_paying.ASK_AGAIN_AFTER = 0.2
    provider_serving.UNPAID_FOR, provider_serving.FAREWELL_FOR = 4.0, 1.0
    for module in (client, provider):
        module.TICK = 0.1  # type: ignore[attr-defined]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until a handler is installed
    node = Anvil(url)
    contracts = Deployed(Address.parse(token), Address.parse(channels), ZERO_ADDRESS, ZERO_ADDRESS)
    keys = [os.urandom(32) for _ in range(4)]
    scene = Scene(
        *(node, contracts, Path(directory), Wallet(keys[0]), Wallet(keys[1])),
        *(SigningKey(keys[2]), SigningKey(keys[3])),
    )
    node.fund(scene.payer.address)
    assert killed_at.in_process(scene.prepare) == 0
    for step in range(int(first), 10_000, int(stride)):
        snapshot = node.snapshot()
        if not play(Session(scene, scene.directory / str(step)), victim, step):
            print(step)
            return
        node.take_back_to(snapshot)


if __name__ == "__main__":
    main()
