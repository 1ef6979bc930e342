# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The gas of each step of a channel, from the receipts of a development chain."""

import asyncio
import secrets
from pathlib import Path

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.deploy import DEFAULT_RULES, TOKEN, deploy
from fs_market.chain.devchain import CHAIN_ID, DevChain, served
from fs_market.chain.fees import FeePolicy
from fs_market.chain.sender import Patience, Sender
from fs_market.chain.transactions import Call
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.wire.channels import Terms, Voucher, channel_id, channels_domain
from fs_market.core.wire.signatures import SigningKey
from fs_market.journal import Journal
from fs_market.money.wallet import Wallet
from tools.bench.figures import Sample

_COIN = 100 * 10**18  # wei
_DEPOSIT = 1000 * TOKEN
_FAR = 2**40  # seconds since the epoch
_HOUR = 3600


def measure(directory: Path) -> Sample:
    """Take one channel from its deposit to its end; ``directory`` holds the journals meanwhile."""
    yield from asyncio.run(_measure(directory)).items()


async def _measure(directory: Path) -> dict[str, float]:
    payer, payee = Wallet(secrets.token_bytes(32)), Wallet(secrets.token_bytes(32))
    chain = DevChain()
    for wallet in (payer, payee):
        chain.fund(wallet.address, _COIN)
    with served(chain) as url:
        async with (
            Chain(url, CHAIN_ID, confirmations=1) as node,
            Journal(directory / f"{secrets.token_hex(8)}.journal", node.genesis) as journal,
        ):
            payers, payees = (
                Sender(node, journal, wallet, FeePolicy(), Patience(poll=0.05))
                for wallet in (payer, payee)
            )
            contracts = await deploy(payers, payer.address, DEFAULT_RULES, TOKEN)
            token, channels = Erc20(node, contracts.token), Channels(node, contracts.channels)
            key = SigningKey(secrets.token_bytes(32))
            terms = Terms(
                *(payer.address, payee.address, key.address, _HOUR, _FAR),
                *(secrets.token_bytes(32), secrets.token_bytes(32)),
            )
            domain = channels_domain(CHAIN_ID, channels.address)

            def promise(amount: int) -> Voucher:
                return sign_voucher(key, domain, channel_id(domain, terms), amount)

            async def cost(sender: Sender, name: str, call: Call) -> float:
                return float((await sender.carry_out(name, call)).gas_used)

            await cost(payers, "mint", token.mint(payer.address, 2 * _DEPOSIT))
            await cost(payers, "approve", token.approve(channels.address, 2 * _DEPOSIT))
            return {
                "gas_deposit": await cost(payers, "deposit", channels.deposit(2 * _DEPOSIT)),
                "gas_open": await cost(payers, "open", channels.open(terms, _DEPOSIT)),
                "gas_redeem": await cost(payees, "first", channels.redeem(terms, promise(TOKEN))),
                "gas_redeem_later": await cost(
                    payees, "later", channels.redeem(terms, promise(2 * TOKEN))
                ),
                "gas_close": await cost(
                    payees, "close", channels.close_by_payee(terms, 2 * TOKEN, promise(3 * TOKEN))
                ),
                "gas_withdraw": await cost(
                    payees, "withdraw", channels.withdraw(payee.address, TOKEN)
                ),
            }
