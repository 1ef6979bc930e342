# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's stake and listing, as the verbs that change them see both."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fs_market import settings as market_settings
from fs_market.chain.contracts import ProviderEntry, Registry, Stake, StakeBook
from fs_market.chain.fees import offer
from fs_market.chain.sender import Patience, Sender
from fs_market.core.wire.ethereum import ZERO_ADDRESS, Address
from fs_market.errors import ChainError
from fs_market.money import wallet as keystores
from fs_market.money.staking import GAS, Staking
from fs_market.money.wallet import Wallet, parse_secret
from fs_market.provider_settings import ProviderSettings
from fs_tunnel.console import amounts, questions
from fs_tunnel.console.text import tell_progress
from fs_tunnel.roles import open_market
from fs_tunnel.roles.open_market import Market
from fs_tunnel.roles.provider.announcer_keys import AnnouncerKeys
from fs_wire.errors import UsageError

_PATIENCE = Patience(poll=0.5)


@dataclass(frozen=True, slots=True)
class Desk:
    """A market with a provider's settings, and what the chain says of it."""

    market: Market
    stakes: StakeBook
    registry: Registry
    sold: ProviderSettings
    key: Wallet
    keys: AnnouncerKeys
    wallet_file: Path
    owner: Address  # the wallet's account
    stake: Stake
    staked_by: Address | None
    entry: ProviderEntry
    bond: int  # base units a slot

    @property
    def provider(self) -> Address:
        return self.key.address

    @property
    def slots(self) -> int:
        """How many clients at a time the stake covers."""
        return 0 if self.stake.exits_at else self.stake.amount // self.bond

    @property
    def is_announced(self) -> bool:
        return self.entry.owner != ZERO_ADDRESS and self.entry.owner == self.staked_by

    def check_owner(self) -> None:
        """Raise ChainError if the stake belongs to another account."""
        if self.staked_by is None:
            raise ChainError(f"{self.provider} has no stake; fs-tunnel market stake AMOUNT first")
        if self.staked_by != self.owner:
            raise ChainError(
                f"the stake of {self.provider} belongs to {self.staked_by}; name the wallet of "
                "that account with --wallet"
            )

    async def ask(self, what: str, steps: Sequence[str], *, is_given: bool) -> None:
        """Say what the steps cost at most, and go on only with consent."""
        chain, fees = self.market.chain, self.market.settings.fees
        limit = offer((await chain.head()).base_fee, await chain.tips(), fees).limit
        cost = amounts.coin_text(limit * sum(GAS[step] for step in steps))
        count = f"{len(steps)} transaction{'s' if len(steps) != 1 else ''}"
        questions.ask(
            f"{what} {count} of {self.owner} on chain {self.market.settings.chain_id}, at most "
            f"{cost} of the chain's coin for gas. Go on?",
            is_given=is_given,
        )

    async def staking(self, password_file: Path | None) -> Staking:
        """Unlock the wallet, and return the owner's errands."""
        # The prompts and the key derivation stop the loop: nothing else runs in it.
        wallet = await keystores.unlock(self.wallet_file, questions.read_password(password_file))
        market = self.market
        sender = Sender(market.chain, market.journal, wallet, market.settings.fees, _PATIENCE)
        errands = Staking(
            market.journal, market.coin, self.stakes, self.registry, sender, self.provider
        )
        for task in await errands.unfinished():
            tell_progress(f"finishing an earlier {task.kind}")
        return errands

    def format(self, units: int) -> str:
        return self.market.token.format(units)


@asynccontextmanager
async def opened_desk(
    wallet_file: Path | None, settings_file: Path | None, rpc: str | None
) -> AsyncIterator[Desk]:
    """Read the settings and the chain.

    UsageError or ChainError if something is missing, or does not fit together.
    """
    path = wallet_file or open_market.default_wallet()
    conf = market_settings.find(settings_file)
    sold = market_settings.read_provider(conf)
    key = Wallet(parse_secret(questions.read_secret(conf.parent / sold.key_file)))
    async with open_market.opened(conf, rpc, path) as market:
        named = market.settings
        if named.stakes is None or named.registry is None:
            raise UsageError("the settings name no stakes or registry; add them to [contracts]")
        stakes = StakeBook(market.chain, named.stakes)
        registry = Registry(market.chain, named.registry)
        if (book := await registry.book()) != stakes.address:
            raise ChainError(f"the registry is for the stakes at {book}; mend the settings")
        if (token := await stakes.token()) != named.token:
            raise ChainError(f"stakes are in the token {token}; mend the settings")
        yield Desk(
            market=market,
            stakes=stakes,
            registry=registry,
            sold=sold,
            key=key,
            keys=AnnouncerKeys(conf.parent, sold),
            wallet_file=path,
            owner=keystores.address_of(path),
            stake=await stakes.stake_of(key.address),
            staked_by=await stakes.owner_of(key.address),
            entry=await registry.entry_of(key.address),
            bond=await registry.bond_per_slot(),
        )
