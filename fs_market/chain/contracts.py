# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The contracts as typed classes: a read asks the chain, a write is a ``Call`` for a ``Sender``.

contracts/SPEC.md explains each function.  Amounts are in base units.
"""

import json
from dataclasses import astuple, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from fs_market.chain.answers import Log
from fs_market.chain.chain import Chain
from fs_market.chain.transactions import Call
from fs_market.core.money.units import Token
from fs_market.core.wire.channels import ChannelStatus, Terms, Voucher
from fs_market.core.wire.ethereum import ZERO_ADDRESS, Address
from fs_market.errors import AmountError, MalformedAnswer

if TYPE_CHECKING:
    from fs_market.chain.abi import Abi, Event

_CLOSED = 2  # IChannels.Status


@dataclass(frozen=True, slots=True)
class Artefact:
    """The compiled form of a contract."""

    abi: "Abi"
    bytecode: bytes

    def deployment(self, *args: Any) -> Call:
        """Return the transaction that makes a contract of this code."""
        return Call(None, self.bytecode + self.abi.encode_constructor(*args))


@cache
def artefact(name: str) -> Artefact:
    """Return the compiled contract with this name."""
    from fs_market.chain.abi import Abi  # noqa: PLC0415 - its codec takes long to import

    text = resources.files("fs_market.artefacts").joinpath(f"{name}.json").read_text()
    found = json.loads(text)
    return Artefact(Abi(found["abi"]), bytes.fromhex(found["bytecode"].removeprefix("0x")))


class _Contract:
    artefact_name: str

    def __init__(self, chain: Chain, address: Address) -> None:
        self._chain, self.address = chain, address
        self._abi = artefact(self.artefact_name).abi

    def event(self, log: Log) -> "Event":
        """Return the event of a log; raise MalformedAnswer if this contract has no such event."""
        return self._abi.event(log)

    def topic(self, event: str) -> bytes:
        """Return the first topic of an event's logs: 32 bytes."""
        return self._abi.topic(event)

    def _call(self, function: str, *args: Any) -> Call:
        return Call(self.address, self._abi.encode(function, *args))

    async def _read(self, function: str, *args: Any, block: int | None = None) -> Any:
        """Return the one value of a function; raise MalformedAnswer if its type does not fit."""
        raw = await self._chain.call(self.address, self._abi.encode(function, *args), block=block)
        (value,) = self._abi.decode(function, raw)
        return value


class _Balances(_Contract):
    async def balance_of(self, account: Address) -> int:
        """Return the base units that an account has in this contract."""
        return int(await self._read("balanceOf", account))


class Erc20(_Balances):
    """A token (ERC-20); only the test token has ``mint``."""

    artefact_name = "TestToken"

    async def describe(self) -> Token:
        """Return the token's symbol and decimals.

        Raise MalformedAnswer if amounts of the token cannot be shown.
        """
        symbol, decimals = await self._read("symbol"), await self._read("decimals")
        try:
            return Token(symbol, decimals, self.address)
        except AmountError as error:
            raise MalformedAnswer(f"the token {self.address} cannot be used: {error}") from None

    async def allowance(self, owner: Address, spender: Address) -> int:
        """Return the base units that ``spender`` may take from ``owner``."""
        return int(await self._read("allowance", owner, spender))

    def approve(self, spender: Address, amount: int) -> Call:
        """Let ``spender`` take ``amount`` from the caller."""
        return self._call("approve", spender, amount)

    def mint(self, to: Address, amount: int) -> Call:
        """Make new test tokens."""
        return self._call("mint", to, amount)


class _Ledger(_Balances):
    """A contract with accounts that hold base units of a token."""

    async def token(self) -> Address:
        """Return the address of the token."""
        token = await self._read("token")
        assert isinstance(token, Address)
        return token

    def deposit(self, amount: int) -> Call:
        """Move approved tokens of the caller to its account."""
        return self._call("deposit", amount)

    def withdraw(self, to: Address, amount: int) -> Call:
        """Move base units from the caller's account to the tokens of ``to``."""
        return self._call("withdraw", to, amount)


class Channels(_Ledger):
    """The contract that holds the channels' money."""

    artefact_name = "Channels"

    async def status(self, channel: bytes) -> ChannelStatus | None:
        """Return the status of a channel; None if the chain does not know it as open.

        The opening is final if the channel is open in a final block.
        """
        head = await self._chain.head()
        found = await self._channel(channel, None)
        if found is None:
            return None
        final = head.number - self._chain.confirmations + 1
        is_final = final >= 0 and await self._channel(channel, final) is not None
        return ChannelStatus(*found, is_final)

    async def is_closed(self, channel: bytes) -> bool:
        """Whether the channel is closed in a final block."""
        head = await self._chain.head()
        final = head.number - self._chain.confirmations + 1
        if final < 0:
            return False
        *_, status = await self._read("channel", channel, block=final)
        return bool(status == _CLOSED)

    def open(self, terms: Terms, amount: int) -> Call:
        """Open a channel; the payer sends this."""
        return self._call("open", terms.words, amount)

    def open_for(self, terms: Terms, amount: int, deadline: int, signature: bytes) -> Call:
        """Open a channel with the payer's signature; anybody may send this."""
        return self._call("openFor", terms.words, amount, deadline, signature)

    def top_up(self, terms: Terms, amount: int) -> Call:
        """Add to the deposit of a channel."""
        return self._call("topUp", terms.words, amount)

    def redeem(self, terms: Terms, voucher: Voucher) -> Call:
        """Pay a voucher to the payee; the channel stays open."""
        return self._call("redeem", terms.words, voucher.cumulative, voucher.signature)

    def close_by_payee(self, terms: Terms, claimed: int, voucher: Voucher | None) -> Call:
        """Close a channel with the latest voucher; the payee sends this.

        No voucher is needed if the payee has ``claimed`` as much before.
        """
        if voucher is None or voucher.cumulative <= claimed:
            return self._call("closeByPayee", terms.words, claimed, b"")
        return self._call("closeByPayee", terms.words, voucher.cumulative, voucher.signature)

    def close_with_consent(self, terms: Terms, cumulative: int, signature: bytes) -> Call:
        """Close a channel with the payee's signature; the payer's side sends this."""
        return self._call("closeWithConsent", terms.words, cumulative, signature)

    def start_close(self, terms: Terms) -> Call:
        """Request to close a channel, which starts its close window; the payer sends this."""
        return self._call("startClose", terms.words)

    def finalize(self, terms: Terms) -> Call:
        """End a channel after its close window, or after it has expired."""
        return self._call("finalize", terms.words)

    async def _channel(self, channel: bytes, block: int | None) -> tuple[int, int, int] | None:
        deposit, claimed, closes_at, status = await self._read("channel", channel, block=block)
        return (deposit, claimed, closes_at) if status == 1 else None


@dataclass(frozen=True, slots=True)
class Stake:
    """The stake of a key: base units, and times in seconds since the epoch (0: none)."""

    amount: int
    since: int
    exits_at: int
    open_cases: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a stake book; contracts/SPEC.md explains them.

    Amounts are in base units, times in seconds, and shares (``bps``) in 1/10,000.
    """

    minimum_stake: int
    bounty: int
    exit_delay: int
    case_time: int
    cap_bps: int
    victim_bps: int


class StakeBook(_Ledger):
    """The contract that holds the providers' stakes."""

    artefact_name = "StakeBook"

    async def rules(self) -> Rules:
        """Return the rules of this book."""
        return Rules(*await self._read("rules"))

    async def stake_of(self, key: Address) -> Stake:
        """Return the stake of a key."""
        return Stake(*await self._read("stakeOf", key))

    async def owner_of(self, key: Address) -> Address | None:
        """Return the owner of a key's stake; None if nobody has staked for the key."""
        owner = await self._read("ownerOf", key)
        return None if owner == ZERO_ADDRESS else owner

    async def weight_of(self, key: Address, block: int | None = None) -> int:
        """Return the base units that count for a key at a block."""
        return int(await self._read("weightOf", key, block=block))

    def register(self, key: Address, amount: int, signature: bytes = b"") -> Call:
        """Stake from the caller's account; if the key is the caller, it needs no signature."""
        return self._call("register", key, amount, signature)

    def add_stake(self, key: Address, amount: int) -> Call:
        """Add to the stake of a key, from the caller's account."""
        return self._call("addStake", key, amount)

    def request_exit(self, key: Address) -> Call:
        """Ask for the stake back, which starts the exit delay."""
        return self._call("requestExit", key)

    def finish_exit(self, key: Address) -> Call:
        """Move the stake to the owner's account in the book, after the exit delay."""
        return self._call("finishExit", key)


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider's offer in the Registry.

    ``slots`` is the number of clients at a time, ``price_list`` the SHA-256 of the price list, and
    ``metadata`` a CIDv1 of further details.
    """

    slots: int
    price_list: bytes
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider's entry in the Registry.

    ``node_key`` and ``heartbeat_key`` are Ed25519 keys of 32 bytes; ``heartbeat_since`` is in
    seconds since the epoch.
    """

    owner: Address
    payout: Address
    heartbeat_since: int
    node_key: bytes
    heartbeat_key: bytes
    offer: Offer


class Registry(_Contract):
    """The contract with the providers' entries."""

    artefact_name = "Registry"

    async def book(self) -> Address:
        """Return the address of the stake book that holds the providers' stakes."""
        book = await self._read("book")
        assert isinstance(book, Address)
        return book

    async def bond_per_slot(self) -> int:
        """Return the base units of stake that each slot needs."""
        return int(await self._read("bondPerSlot"))

    async def entry_of(self, provider: Address, block: int | None = None) -> ProviderEntry:
        """Return a provider's entry; all its fields are zero if there is none."""
        said = await self._read("entryOf", provider, block=block)
        owner, payout, since, node_key, heartbeat_key, offer = said
        return ProviderEntry(owner, payout, since, node_key, heartbeat_key, Offer(*offer))

    async def is_listed(self, provider: Address, block: int | None = None) -> bool:
        """Whether a provider has an entry, and enough stake for its slots."""
        return bool(await self._read("isListed", provider, block=block))

    def announce(
        self,
        provider: Address,
        payout: Address,
        node_key: bytes,
        heartbeat_key: bytes,
        offer: Offer,
    ) -> Call:
        """Write the whole entry; the owner of the provider's stake sends this, and the rest."""
        return self._call("announce", provider, payout, node_key, heartbeat_key, astuple(offer))

    def change_offer(self, provider: Address, offer: Offer) -> Call:
        """Replace the offer of an entry."""
        return self._call("changeOffer", provider, astuple(offer))

    def rotate_heartbeat(self, provider: Address, heartbeat_key: bytes) -> Call:
        """Replace the heartbeat key of an entry."""
        return self._call("rotateHeartbeat", provider, heartbeat_key)

    def retire(self, provider: Address) -> Call:
        """Remove an entry."""
        return self._call("retire", provider)
