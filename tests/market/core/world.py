# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Alice buys from Bob: their sessions, engines, disks and a chain, and a wire that tests control.

This module knows to the byte what really passed, and what each side can prove.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from coincurve import PrivateKey

from fs_market.core.money.accounting import ANY, Increment, SetLimits, Window
from fs_market.core.money.prices import Price
from fs_market.core.money.records import ClientRecord, ProviderRecord
from fs_market.core.money.vouchers import screen_untrusted, verify_untrusted
from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_states import State as ClientState
from fs_market.core.session.events import (
    AddPeer,
    CheckChannel,
    Configure,
    Ended,
    Event,
    Journal,
    OpenChannel,
    QuoteReceived,
    ReadCounters,
    ReceiptSigned,
    RemovePeer,
    Settle,
)
from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.session.provider import ProviderSession
from fs_market.core.session.provider_states import State as ProviderState
from fs_market.core.session.purchase import ClientConfig
from fs_market.core.wire.channels import ChannelStatus, Voucher, channels_domain
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.messages import Message, Refusal, parse_untrusted, serialize
from fs_market.core.wire.schema import from_bytes_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import Reason
from fs_wire.types import Endpoint, PublicKey

MIB = 1 << 20
EPOCH = 1_800_000_000  # Unix time when the world begins
LIFETIME = 86_400
DOMAIN = channels_domain(131277322940537, Address(keccak(b"channels")[12:]))
TOKEN = Address(keccak(b"token")[12:])
PAYER = Address(keccak(b"payer")[12:])
PAYEE = Address(keccak(b"payee")[12:])
SESSION_KEY = SigningKey(PrivateKey().secret)
NODE_KEY = SigningKey(PrivateKey().secret)
CLIENT_WG, PROVIDER_WG = PublicKey(keccak(b"client")), PublicKey(keccak(b"provider"))
GATEWAY = ip_address("10.66.0.1")
PLACE = Place(
    wireguard_key=PROVIDER_WG,
    endpoint=Endpoint("192.0.2.1", 51820),
    addresses=(ip_address("10.66.0.2"),),
    dns=(GATEWAY,),
    gateway=GATEWAY,
    payment_port=4040,
    mtu=1420,
)
INCREMENT = Increment(MIB, 1, 64 * MIB, 8)
PRICE = Price(50_000_000, 3_600)  # 50 units for a MiB would round badly; 1 unit for a second
DEPOSIT = 10_000_000


@dataclass
class Peer:
    """An engine's view of the other side: what passed, and what may pass."""

    rx: int = 0
    tx: int = 0
    credit: int = 1
    credit_low: int = 0
    was_told: bool = False

    def room(self) -> int:
        """The number of bytes that may pass."""
        return 2**62 if self.credit == ANY else max(0, self.credit - self.rx - self.tx)

    def is_low(self) -> bool:
        """Whether little credit is left; true only once for each limit, as in the engine."""
        if self.was_told or self.credit == ANY or self.room() >= self.credit_low:
            return False
        self.was_told = True
        return True


@dataclass
class Side:
    """One of the two sides, with the state that its shell would hold."""

    name: str
    session: ClientSession | ProviderSession
    peer: Peer | None = None  # the engine, which survives the agent
    disk: bytes | None = None
    unsynced: list[Journal] = field(default_factory=list)
    outbox: list[bytes] = field(default_factory=list)
    log: list[Event] = field(default_factory=list)
    lies: Callable[[int], int] = lambda count: count  # what the engine reports for a counter
    crashes: int = 0

    def told(self, kind: type) -> list[Event]:
        return [event for event in self.log if isinstance(event, kind)]


class World:
    """With ``slow_disks``, journal records reach the disk only when ``sync`` is called."""

    def __init__(
        self,
        *,
        price: Price = PRICE,
        deposit: int = DEPOSIT,
        budget: int = DEPOSIT,
        increment: Increment = INCREMENT,
        tolerance_ppm: int = 10_000,
        slow_disks: bool = False,
        buyer: type[ClientSession] = ClientSession,
    ) -> None:
        self.now, self.buyer = 1000.0, buyer
        self.deposit, self.slow_disks = deposit, slow_disks
        self.is_on_chain = self.hides_channel = False
        self.status = ChannelStatus(deposit)
        self.price, self.increment = price, increment
        self.tolerance_ppm = tolerance_ppm
        self.client_config = ClientConfig(
            *(DOMAIN, TOKEN, PAYER, SESSION_KEY, CLIENT_WG, price, budget),
            node=NODE_KEY.address,
        )
        self.provider_config = ProviderConfig(
            *(DOMAIN, TOKEN, PAYEE, NODE_KEY, price, increment, tolerance_ppm),
            close_window=3600,
            min_deposit=100,
            quote_seconds=60,
        )
        self.may_check = True
        self.alice = Side("alice", buyer(self.client_config))
        self.bob = Side("bob", self.new_provider())
        self.settled: Voucher | None = None
        self.sent_by: dict[str, list[Message]] = {"alice": [], "bob": []}
        self.served_bytes = 0  # the bytes that Bob's engine really let pass
        self.received_bytes = 0  # the bytes that reached Alice's engine
        self.client_seconds = self.served_seconds = 0.0
        self.most_exposed = 0

    @property
    def states(self) -> tuple[ClientState, ProviderState]:
        return self.client.state, self.provider.state

    @property
    def client(self) -> ClientSession:
        assert isinstance(self.alice.session, ClientSession)
        return self.alice.session

    @property
    def provider(self) -> ProviderSession:
        assert isinstance(self.bob.session, ProviderSession)
        return self.bob.session

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.alice, self.bob

    def other(self, side: Side) -> Side:
        return self.bob if side is self.alice else self.alice

    def new_provider(self, record: ProviderRecord | None = None) -> ProviderSession:
        return ProviderSession(
            self.provider_config,
            unix_time=lambda: EPOCH + int(self.now),
            entropy=random.Random(1).randbytes,
            may_check=lambda _now: self.may_check,
            record=record,
        )

    # Shells.

    def run(self, side: Side) -> None:
        """Do everything that a session asks for, and collect the messages to send."""
        while (event := side.session.next_event()) is not None:
            side.log.append(event)
            self._do(side, event)
        for data in side.session.messages_to_send():
            side.outbox.append(data)
            self.sent_by[side.name].append(parse_untrusted(data))
        self._note_exposure()

    def _do(self, side: Side, event: Event) -> None:
        match event:
            case Journal() if self.slow_disks:
                side.unsynced.append(event)
            case Journal():
                side.disk = event.record
                side.session.journalled(event.number)
            case OpenChannel() if self.client.state is ClientState.OPENING:
                self.is_on_chain = True
                self.client.opened(self.now)
            case QuoteReceived():
                self.client.accept(
                    deposit=self.deposit, expires_at=EPOCH + LIFETIME, salt=keccak(b"salt")
                )
            case Configure() if side.peer is None:
                side.peer = Peer(credit=ANY)
            case CheckChannel() if self.is_on_chain and not self.hides_channel:
                self.provider.channel_found(self.status, PLACE, self.now)
            case CheckChannel():
                self.provider.channel_missing()
            case AddPeer():
                side.peer = side.peer or Peer()
                side.peer.credit = 1
            case ReadCounters():
                self.count(side)
            case SetLimits(credit, low) if side.peer is not None:
                side.peer.credit, side.peer.credit_low = credit, low
                side.peer.was_told = False
                if side.peer.is_low():
                    self.count(side)
            case RemovePeer():
                side.peer = None
            case Settle(_, voucher):
                self.redeem(voucher)
            case Ended() | ReceiptSigned() | Configure() | SetLimits():
                pass

    def count(self, side: Side) -> None:
        peer = side.peer or Peer()
        side.session.count(side.lies(peer.rx), side.lies(peer.tx), self.now)

    def sync(self, side: Side, records: int = 100) -> None:
        """Let so many records reach the disk."""
        for event in side.unsynced[:records]:
            side.disk = event.record
            side.session.journalled(event.number)
        del side.unsynced[:records]
        self.run(side)

    def redeem(self, voucher: Voucher) -> None:
        """Let the chain pay if it can verify the voucher."""
        screen_untrusted(voucher, self.provider.channel, self.deposit, self.claimed)
        verify_untrusted(voucher, DOMAIN, SESSION_KEY.address)
        self.settled = voucher

    @property
    def claimed(self) -> int:
        return self.settled.cumulative if self.settled else 0

    # The wire.

    def deliver(self, side: Side, position: int = 0) -> None:
        """Deliver a message of ``side`` to the other side."""
        data = side.outbox.pop(position)
        receiver = self.other(side)
        if (reason := receiver.session.receive(data, self.now)) is not None:
            receiver.outbox.append(serialize(Refusal(reason)))
            self.sent_by[receiver.name].append(Refusal(reason))
        self.run(receiver)

    def settle_messages(self) -> None:
        """Deliver everything in order, until nobody has anything to send."""
        for _ in range(1000):
            for side in self.sides:
                self.run(side)
                if self.slow_disks:
                    self.sync(side)
            waiting = [side for side in self.sides if side.outbox]
            if not waiting and not any(side.unsynced for side in self.sides):
                return
            for side in waiting:
                self.deliver(side)
        raise AssertionError("they never stop talking")

    def connect(self) -> None:
        """Open a new connection; messages in flight are lost."""
        for side in self.sides:
            side.outbox.clear()
        self.client.connect(self.now)
        self.settle_messages()

    # Traffic and time.

    def traffic(self, *, down: int = 0, up: int = 0, lost: int = 0) -> int:
        """Pass as much in both directions as both engines allow; return what Bob's engine carried.

        ``lost`` bytes of ``down`` vanish on the way.
        """
        alice, bob = self.alice.peer, self.bob.peer
        if alice is None or bob is None:
            return 0
        sent_up = min(up, alice.room(), bob.room())
        alice.tx += sent_up
        bob.rx += sent_up
        sent_down = min(down, bob.room(), alice.room() + lost)
        bob.tx += sent_down
        alice.rx += max(0, sent_down - lost)
        self.served_bytes += sent_up + sent_down
        self.received_bytes += sent_up + max(0, sent_down - lost)
        for side, peer in ((self.alice, alice), (self.bob, bob)):
            if peer.is_low():
                self.count(side)
                self.run(side)
        return sent_up + sent_down

    def download(self, total: int, *, step: int = 64 << 10, lost: int = 0) -> int:
        """Pass traffic in steps, and deliver all messages in between."""
        carried = 0
        while carried < total:
            more = self.traffic(down=min(step, total - carried), lost=lost)
            self.settle_messages()
            if not more:
                break
            carried += more
        return carried

    def pass_time(self, seconds: float, *, deliver: bool = True) -> None:
        """Let timers fire when they are due; with ``deliver``, messages arrive at once."""
        end = self.now + seconds
        while True:
            due = [(at, side) for side in self.sides if (at := side.session.next_timer())]
            at, side = min(due, key=lambda each: each[0], default=(end, self.alice))
            if at >= end:
                break
            self._advance(max(self.now, at))
            self.count(side)
            side.session.handle_timer(self.now)
            self.run(side)
            if deliver:
                self.settle_messages()
        self._advance(end)

    def _advance(self, to: float) -> None:
        if self.provider.state is ProviderState.SERVING:
            self.served_seconds += to - self.now
        if self.client.state is ClientState.SERVED:
            self.client_seconds += to - self.now
        self.now = to

    # Crashes.

    def crash(self, side: Side, *, engine_too: bool = False) -> None:
        """Kill the agent, and start it again with the contents of its disk."""
        side.crashes += 1
        side.unsynced.clear()
        side.outbox.clear()
        if engine_too:
            side.peer = None
        if side is self.alice:
            record = from_bytes_untrusted(ClientRecord, side.disk) if side.disk else None
            side.session = self.buyer(self.client_config, record)
        else:
            kept = from_bytes_untrusted(ProviderRecord, side.disk) if side.disk else None
            side.session = self.new_provider(kept)
        if side.peer is not None:
            self.count(side)
        self.run(side)

    # Facts.

    def _note_exposure(self) -> None:
        books = self.provider._books
        window = books.window if books else Window.first(self.increment)
        self.most_exposed = max(self.most_exposed, window.exposure(self.price))

    def paid_on_disk(self) -> int:
        """Return what Bob can prove after a crash."""
        if self.bob.disk is None:
            return 0
        return from_bytes_untrusted(ProviderRecord, self.bob.disk).paid

    def promised_on_disk(self) -> int:
        if self.alice.disk is None:
            return 0
        return from_bytes_untrusted(ClientRecord, self.alice.disk).promised

    def vouchers(self) -> list[Voucher]:
        """Return all vouchers that ever left Alice."""
        return [each for each in self.sent_by["alice"] if isinstance(each, Voucher)]

    def endings(self, side: Side) -> list[Reason]:
        return [event.reason for event in side.log if isinstance(event, Ended)]


def served(**settings: object) -> World:
    """Make a world in which both are connected, the channel is open, and the tunnel is up."""
    world = World(**settings)  # type: ignore[arg-type]
    world.connect()
    return world


def all_of(kind: type[Message], messages: Iterable[Message]) -> list[Message]:
    return [each for each in messages if isinstance(each, kind)]
