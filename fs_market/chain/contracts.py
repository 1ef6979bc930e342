"""The contracts, typed: what reads asks the chain, what writes is a ``Call`` for a ``Sender``.

contracts/SPEC.md says what each does.
"""

import json
from dataclasses import astuple, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from fs_market.chain.answers import Log
from fs_market.chain.chain import Chain
from fs_market.chain.transactions import Call
from fs_market.core.money.channels import ChannelStatus, Terms
from fs_market.core.money.units import Token
from fs_market.core.money.vouchers import Voucher
from fs_market.core.wire.ethereum import ZERO_ADDRESS, Address
from fs_market.errors import AmountError, MalformedAnswer

if TYPE_CHECKING:
    from fs_market.chain.abi import Abi, Event

_CLOSED = 2  # IChannels.Status


@dataclass(frozen=True, slots=True)
class Artefact:
    """What the compiler made of a contract."""

    abi: "Abi"
    bytecode: bytes

    def deployment(self, *args: Any) -> Call:
        """What makes a contract of this code."""
        return Call(None, self.bytecode + self.abi.encode_constructor(*args))


@cache
def artefact(name: str) -> Artefact:
    from fs_market.chain.abi import Abi  # noqa: PLC0415 - its codec takes its time to import

    text = resources.files("fs_market.artefacts").joinpath(f"{name}.json").read_text()
    found = json.loads(text)
    return Artefact(Abi(found["abi"]), bytes.fromhex(found["bytecode"].removeprefix("0x")))


class _Contract:
    artefact_name: str

    def __init__(self, chain: Chain, address: Address) -> None:
        self._chain, self.address = chain, address
        self._abi = artefact(self.artefact_name).abi

    def event(self, log: Log) -> "Event":
        """A log of this contract as an event; MalformedAnswer where it is none of its."""
        return self._abi.event(log)

    def topic(self, event: str) -> bytes:
        """What logs of this event begin with."""
        return self._abi.topic(event)

    def _call(self, function: str, *args: Any) -> Call:
        return Call(self.address, self._abi.encode(function, *args))

    async def _read(self, function: str, *args: Any, block: int | None = None) -> Any:
        """The one value that a function returns; MalformedAnswer where it is another contract."""
        raw = await self._chain.call(self.address, self._abi.encode(function, *args), block=block)
        (value,) = self._abi.decode(function, raw)
        return value


class Erc20(_Contract):
    """A token; of the test token, also its mint."""

    artefact_name = "TestToken"

    async def describe(self) -> Token:
        """Its symbol and decimals; MalformedAnswer where people could not tell its amounts."""
        symbol, decimals = await self._read("symbol"), await self._read("decimals")
        try:
            return Token(symbol, decimals, self.address)
        except AmountError as error:
            raise MalformedAnswer(f"the token {self.address} cannot be used: {error}") from None

    async def balance_of(self, account: Address) -> int:
        return int(await self._read("balanceOf", account))

    async def allowance(self, owner: Address, spender: Address) -> int:
        return int(await self._read("allowance", owner, spender))

    def approve(self, spender: Address, amount: int) -> Call:
        return self._call("approve", spender, amount)

    def mint(self, to: Address, amount: int) -> Call:
        return self._call("mint", to, amount)


class _Ledger(_Contract):
    """Accounts in base units that a contract keeps."""

    async def token(self) -> Address:
        token = await self._read("token")
        assert isinstance(token, Address)
        return token

    async def balance_of(self, account: Address) -> int:
        return int(await self._read("balanceOf", account))

    def deposit(self, amount: int) -> Call:
        """From the caller's tokens, which it has approved, to its account."""
        return self._call("deposit", amount)

    def withdraw(self, to: Address, amount: int) -> Call:
        return self._call("withdraw", to, amount)


class Channels(_Ledger):
    artefact_name = "Channels"

    async def status(self, channel: bytes) -> ChannelStatus | None:
        """What the chain says of a channel; None where there is none, or it was closed.

        Its opening is final where a block has it that is final.
        """
        head = await self._chain.head()
        found = await self._channel(channel, None)
        if found is None:
            return None
        final = head.number - self._chain.confirmations + 1
        is_final = final >= 0 and await self._channel(channel, final) is not None
        return ChannelStatus(*found, is_final)

    async def is_closed(self, channel: bytes) -> bool:
        """Whether a final block has the end of a channel."""
        head = await self._chain.head()
        final = head.number - self._chain.confirmations + 1
        if final < 0:
            return False
        *_, status = await self._read("channel", channel, block=final)
        return bool(status == _CLOSED)

    def open(self, terms: Terms, amount: int) -> Call:
        """By the payer."""
        return self._call("open", _words(terms), amount)

    def open_for(self, terms: Terms, amount: int, deadline: int, signature: bytes) -> Call:
        """By anybody, with the payer's signature."""
        return self._call("openFor", _words(terms), amount, deadline, signature)

    def top_up(self, terms: Terms, amount: int) -> Call:
        return self._call("topUp", _words(terms), amount)

    def redeem(self, terms: Terms, voucher: Voucher) -> Call:
        return self._call("redeem", _words(terms), voucher.cumulative, voucher.signature)

    def close_by_payee(self, terms: Terms, claimed: int, voucher: Voucher | None) -> Call:
        """Close with the latest voucher, or at what was claimed where that is as much."""
        if voucher is None or voucher.cumulative <= claimed:
            return self._call("closeByPayee", _words(terms), claimed, b"")
        return self._call("closeByPayee", _words(terms), voucher.cumulative, voucher.signature)

    def close_with_consent(self, terms: Terms, cumulative: int, signature: bytes) -> Call:
        """By the payer's side, with the payee's signature."""
        return self._call("closeWithConsent", _words(terms), cumulative, signature)

    def start_close(self, terms: Terms) -> Call:
        return self._call("startClose", _words(terms))

    def finalize(self, terms: Terms) -> Call:
        return self._call("finalize", _words(terms))

    async def _channel(self, channel: bytes, block: int | None) -> tuple[int, int, int] | None:
        deposit, claimed, closes_at, status = await self._read("channel", channel, block=block)
        return (deposit, claimed, closes_at) if status == 1 else None


@dataclass(frozen=True, slots=True)
class Stake:
    """Stake under a key: base units, and times in seconds since the epoch (0: none)."""

    amount: int
    since: int
    exits_at: int
    open_cases: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What a stake book is made with, see contracts/SPEC.md: base units, seconds, 1/10,000."""

    minimum_stake: int
    bounty: int
    exit_delay: int
    case_time: int
    cap_bps: int
    victim_bps: int


class StakeBook(_Ledger):
    artefact_name = "StakeBook"

    async def rules(self) -> Rules:
        return Rules(*await self._read("rules"))

    async def stake_of(self, key: Address) -> Stake:
        return Stake(*await self._read("stakeOf", key))

    async def owner_of(self, key: Address) -> Address | None:
        owner = await self._read("ownerOf", key)
        return None if owner == ZERO_ADDRESS else owner

    async def weight_of(self, key: Address, block: int | None = None) -> int:
        return int(await self._read("weightOf", key, block=block))

    def register(self, key: Address, amount: int, signature: bytes = b"") -> Call:
        """Stake from the caller's account; the signature is not needed where the key calls."""
        return self._call("register", key, amount, signature)

    def add_stake(self, key: Address, amount: int) -> Call:
        return self._call("addStake", key, amount)

    def request_exit(self, key: Address) -> Call:
        return self._call("requestExit", key)

    def finish_exit(self, key: Address) -> Call:
        return self._call("finishExit", key)


@dataclass(frozen=True, slots=True)
class Offer:
    """How many clients at a time, the SHA-256 of the price list, and a CIDv1 of what else."""

    slots: int
    price_list: bytes
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """What a provider says of itself; ``node_key`` and ``heartbeat_key`` are Ed25519."""

    owner: Address
    payout: Address
    heartbeat_since: int
    node_key: bytes
    heartbeat_key: bytes
    offer: Offer


class Registry(_Contract):
    artefact_name = "Registry"

    async def book(self) -> Address:
        """Where the stake behind its entries stands."""
        book = await self._read("book")
        assert isinstance(book, Address)
        return book

    async def bond_per_slot(self) -> int:
        return int(await self._read("bondPerSlot"))

    async def entry_of(self, provider: Address, block: int | None = None) -> ProviderEntry:
        said = await self._read("entryOf", provider, block=block)
        owner, payout, since, node_key, heartbeat_key, offer = said
        return ProviderEntry(owner, payout, since, node_key, heartbeat_key, Offer(*offer))

    async def is_listed(self, provider: Address, block: int | None = None) -> bool:
        return bool(await self._read("isListed", provider, block=block))

    def announce(
        self,
        provider: Address,
        payout: Address,
        node_key: bytes,
        heartbeat_key: bytes,
        offer: Offer,
    ) -> Call:
        """By the owner of the provider's stake."""
        return self._call("announce", provider, payout, node_key, heartbeat_key, astuple(offer))

    def change_offer(self, provider: Address, offer: Offer) -> Call:
        return self._call("changeOffer", provider, astuple(offer))

    def rotate_heartbeat(self, provider: Address, heartbeat_key: bytes) -> Call:
        return self._call("rotateHeartbeat", provider, heartbeat_key)

    def retire(self, provider: Address) -> Call:
        return self._call("retire", provider)


def _words(terms: Terms) -> tuple[Any, ...]:
    return (
        *(terms.payer, terms.payee, terms.session_key, terms.window),
        *(terms.expires_at, terms.order, terms.salt),
    )
