# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's stake and its entry in the Registry, as errands of the stake's owner."""

from collections.abc import Mapping, Sequence

from fs_market.chain.contracts import Erc20, Offer, Registry, StakeBook
from fs_market.chain.sender import Sender
from fs_market.core.wire.ethereum import Address
from fs_market.database import Database
from fs_market.errors import ChainError
from fs_market.money.errands import Done, Errands, Step, amount_of
from fs_market.money.tasks import Task
from fs_market.money.treasury import check_funds

# The most gas that a step takes: the figures of contracts/snapshots/gas.json for accounts that were
# empty before, and a fifth more.
GAS = {
    "approve": 60_000,
    "deposit": 80_000,
    "register": 120_000,
    "add": 60_000,
    "announce": 260_000,
    "rotate": 60_000,
    "retire": 60_000,
    "exit": 50_000,
    "finish": 70_000,
    "withdraw": 80_000,
}


class Staking(Errands):
    """All errands of the owner of one provider, which is known by its ``key``."""

    kinds = frozenset(["stake", "announce", "rotate", "retire", "unstake", "collect"])

    def __init__(
        self,
        journal: Database,
        token: Erc20,
        stakes: StakeBook,
        registry: Registry,
        sender: Sender,
        key: Address,
    ) -> None:
        super().__init__(journal, sender)
        self._token, self._stakes, self._registry, self._key = token, stakes, registry, key

    async def stake(self, amount: int, binding: bytes, entropy: bytes) -> Done:
        """Stake ``amount`` base units, or add them to the stake.

        ``binding`` is the key's signature of ``Bind``, 65 bytes.  Raise ChainError if the stake
        belongs to another account, or if the account has too few tokens.
        """

        async def plan() -> Mapping[str, str]:
            account = self._sender.account
            owner = await self._stakes.owner_of(self._key)
            if owner not in (None, account):
                raise ChainError(
                    f"the stake of {self._key} belongs to {owner}; use the wallet of that account"
                )
            missing = await missing_for(self._stakes, account, amount)
            await check_funds(self._token, account, missing)
            is_first = "yes" if owner is None else "no"
            return {"missing": str(missing), "is_first": is_first, "binding": binding.hex()}

        return await self._do("stake", self._asked(amount=str(amount)), plan, entropy)

    async def announce(
        self, payout: Address, node_key: bytes, heartbeat_key: bytes, offer: Offer, entropy: bytes
    ) -> Done:
        """Write the whole entry; the keys are Ed25519 keys of 32 bytes."""
        asked = self._asked(
            payout=str(payout),
            node_key=node_key.hex(),
            heartbeat_key=heartbeat_key.hex(),
            slots=str(offer.slots),
            price_list=offer.price_list.hex(),
        )
        return await self._do("announce", asked, _nothing, entropy)

    async def rotate(self, heartbeat_key: bytes, entropy: bytes) -> Done:
        """Replace the heartbeat key of the entry."""
        asked = self._asked(heartbeat_key=heartbeat_key.hex())
        return await self._do("rotate", asked, _nothing, entropy)

    async def retire(self, entropy: bytes) -> Done:
        """Remove the entry; the stake stays."""
        return await self._do("retire", self._asked(), _nothing, entropy)

    async def request_exit(self, entropy: bytes) -> Done:
        """Ask for the whole stake back; it stops counting at once."""
        return await self._do("unstake", self._asked(), _nothing, entropy)

    async def collect(self, entropy: bytes) -> Done:
        """Move the stake, after its exit delay, from the book to the owner's tokens.

        Everything else that the owner has in the book moves along.
        """

        async def plan() -> Mapping[str, str]:
            held = (await self._stakes.stake_of(self._key)).amount
            ready = await self._stakes.balance_of(self._sender.account)
            return {"amount": str(held + ready), "is_staked": "yes" if held else "no"}

        return await self._do("collect", self._asked(), plan, entropy)

    def steps(self, task: Task) -> Sequence[Step]:
        """Return the transactions of a task of one of the ``kinds``, in their order."""
        detail, amount, key = task.detail, amount_of(task), Address.parse(task.detail["key"])
        match task.kind:
            case "stake":
                return self._stake_steps(detail, amount, key)
            case "announce":
                offer = Offer(int(detail["slots"]), bytes.fromhex(detail["price_list"]))
                call = self._registry.announce(
                    key,
                    Address.parse(detail["payout"]),
                    bytes.fromhex(detail["node_key"]),
                    bytes.fromhex(detail["heartbeat_key"]),
                    offer,
                )
                return (("announce", call),)
            case "rotate":
                heartbeat_key = bytes.fromhex(detail["heartbeat_key"])
                return (("rotate", self._registry.rotate_heartbeat(key, heartbeat_key)),)
            case "retire":
                return (("retire", self._registry.retire(key)),)
            case "unstake":
                return (("exit", self._stakes.request_exit(key)),)
        finish: list[Step] = [("finish", self._stakes.finish_exit(key))]
        withdraw = self._stakes.withdraw(self._sender.account, amount)
        return (*(finish if detail["is_staked"] == "yes" else ()), ("withdraw", withdraw))

    def _stake_steps(self, detail: Mapping[str, str], amount: int, key: Address) -> Sequence[Step]:
        steps: list[Step] = []
        if missing := int(detail["missing"]):
            steps.append(("approve", self._token.approve(self._stakes.address, missing)))
            steps.append(("deposit", self._stakes.deposit(missing)))
        if detail["is_first"] == "yes":
            binding = bytes.fromhex(detail["binding"])
            steps.append(("register", self._stakes.register(key, amount, binding)))
        else:
            steps.append(("add", self._stakes.add_stake(key, amount)))
        return steps

    def _asked(self, **detail: str) -> dict[str, str]:
        return {"key": str(self._key), **detail}


async def missing_for(stakes: StakeBook, account: Address, amount: int) -> int:
    """Return how many base units of ``amount`` the account still has to deposit in the book."""
    return max(0, amount - await stakes.balance_of(account))


async def _nothing() -> Mapping[str, str]:
    return {}
