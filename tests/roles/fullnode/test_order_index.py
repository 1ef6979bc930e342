# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The state of channels, as a full node shows it to an account that signed in."""

import asyncio
import time
from pathlib import Path

import pytest

from fs_market.chain.contracts import Channels
from fs_market.core.wire.channels import channel_id, channels_domain
from fs_market.money.wallet import Wallet
from fs_net.fullnode.catalogue import OrderState
from fs_tunnel.roles.fullnode.order_index import OrderIndex
from tests.market.chains import Dev
from tests.market.parties import new_wallet, open_channel, party, voucher

DEPOSIT, CLAIMED = 10**18, 3 * 10**17


@pytest.fixture
def people(dev: Dev) -> tuple[Wallet, Wallet]:
    found = new_wallet(), new_wallet()
    for each in found:
        dev.fund(each.address)
    return found


def test_a_channel_from_its_opening_to_its_end(
    dev: Dev, people: tuple[Wallet, Wallet], tmp_path: Path
) -> None:
    alice, bob = people

    async def run() -> None:
        async with (
            party(dev.url, dev.chain_id, alice, tmp_path / "a") as payer,
            party(dev.url, dev.chain_id, bob, tmp_path / "b") as payee,
        ):
            channels = Channels(payer.chain, dev.contracts.channels)
            index = OrderIndex(payer.chain, channels)
            await index.refresh()
            assert await index.of(alice.address.raw) == []

            terms, key = await open_channel(payer, bob, dev.contracts, DEPOSIT)
            await index.refresh()
            (order,) = await index.of(alice.address.raw)
            domain = channels_domain(dev.chain_id, dev.contracts.channels)
            assert order.channel == channel_id(domain, terms)
            assert (order.payer, order.payee) == (alice.address.raw, bob.address.raw)
            assert (order.deposit, order.claimed, order.state) == (DEPOSIT, 0, OrderState.OPEN)
            assert abs(order.opened_at / 1000 - time.time()) < 3600
            assert await index.of(bob.address.raw) == [order]

            promised = voucher(dev.chain_id, dev.contracts, terms, key, CLAIMED)
            await payee.sender.carry_out("redeem", channels.redeem(terms, promised))
            await payer.sender.carry_out("end", channels.start_close(terms))
            await index.refresh()
            (order,) = await index.of(bob.address.raw)
            assert (order.claimed, order.state) == (CLAIMED, OrderState.CLOSING)

            await payee.sender.carry_out("close", channels.close_by_payee(terms, CLAIMED, None))
            await open_channel(payer, bob, dev.contracts, 7)
            await index.refresh()
            latest, order = await index.of(alice.address.raw)
            assert latest.deposit == 7
            assert (order.claimed, order.refunded) == (CLAIMED, DEPOSIT - CLAIMED)
            assert order.state is OrderState.CLOSED

            # An index that reads everything at once knows the same.
            anew = OrderIndex(payer.chain, channels)
            await anew.refresh()
            assert await anew.of(alice.address.raw) == [latest, order]
            assert await anew.of(new_wallet().address.raw) == []

    asyncio.run(run())


def test_what_is_not_final_is_not_told(
    dev: Dev, people: tuple[Wallet, Wallet], tmp_path: Path
) -> None:
    alice, bob = people

    async def run() -> None:
        async with (
            party(dev.url, dev.chain_id, alice, tmp_path / "a") as payer,
            party(dev.url, dev.chain_id, alice, tmp_path / "w", confirmations=3) as watcher,
        ):
            index = OrderIndex(watcher.chain, Channels(watcher.chain, dev.contracts.channels))
            await open_channel(payer, bob, dev.contracts, 5)
            await index.refresh()
            assert await index.of(bob.address.raw) == []
            await open_channel(payer, bob, dev.contracts, 6)  # four more blocks
            await index.refresh()
            assert [each.deposit for each in await index.of(bob.address.raw)] == [5]

    asyncio.run(run())
