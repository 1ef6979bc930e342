# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The agent of ``market prepay`` buys a place and pays for it at once, by one voucher.

It asks what a negotiating agent asks (``buying_agent``), and ends with one of these lines:

    {"prepaid": {..., "channel": HEX, "node": ADDRESS, "paid": N, "expires_at": N, ...}}
    {"prepaid": {"over": REASON}}       the prepaid place is used up, or has ended
    {"prepaid": {"failed": TEXT}}       no voucher was signed, and none will be
"""

import asyncio
import socket
import time
from typing import Any

from fs_market.core.money.records import ClientRecord
from fs_market.core.session.prepaid import PrepaidSession
from fs_market.core.wire.channels import channel_id
from fs_market.errors import MarketError, Reason
from fs_market.journal import Journal
from fs_market.session.client_agent import Buyer, ClientAgent
from fs_market.session.stream import TcpRoute
from fs_tunnel.roles.client.buying_agent import (
    NEGOTIATE_WITHIN,
    Client,
    consider,
    have_opened,
    place_to_json,
)
from fs_tunnel.roles.starts import PrepayStart
from fs_tunnel.roles.telling import tell


class Prepayer(Client):
    """Buys a place, or finds again the one that it bought. It never pays a second provider."""

    def __init__(self, start: PrepayStart) -> None:
        super().__init__(start.dealing)
        self._route = TcpRoute(start.host, start.port)

    async def run(self, _sockets: dict[str, socket.socket]) -> None:
        """Tell the place, or why there is none; MarketError if the user should try again."""
        async with Journal(self.books, self.genesis) as journal:
            record = await self.record(journal)
            if record is not None and not record.promised and record.is_over:
                record = None  # it ended before anything was paid
            if record is not None and _is_over(record):
                _tell_end(Reason.DONE if record.is_over else Reason.EXPIRED)
                return
            agent = ClientAgent(PrepaidSession(self.config, record), journal)
            ending = asyncio.get_running_loop().call_later(NEGOTIATE_WITHIN, agent.close)
            try:
                place = place_to_json(await agent.prepay(self._route, Buyer(consider, have_opened)))
            except MarketError as error:
                record = await self.record(journal)
                if record is not None and not record.promised and not record.is_over:
                    raise  # its channel is open, and another try can use it
                if record is None or not record.promised:
                    tell({"prepaid": {"failed": str(error)}})
                    return
                if not record.is_over:
                    raise self._unconfirmed(record, error) from None
                _tell_end(agent.ended.reason if agent.ended else Reason.DONE)
                return
            finally:
                ending.cancel()
            record = await self.record(journal)
            assert record is not None
            tell({"prepaid": {**place, **self._describe(record)}})

    def _describe(self, record: ClientRecord) -> dict[str, Any]:
        offer, terms = record.quote.terms, record.terms
        return {
            "channel": channel_id(self.config.domain, terms).hex(),
            "node": str(offer.node),
            "paid": record.promised,
            "expires_at": terms.expires_at,
            "per_gib": offer.per_gib,
            "per_hour": offer.per_hour,
        }

    def _unconfirmed(self, record: ClientRecord, error: MarketError) -> MarketError:
        why = str(error).partition(";")[0]
        return MarketError(
            f"a voucher for {self._token.format(record.promised)} was signed, and the provider "
            f"has not confirmed it ({why}); run the command again, which pays nothing more, or get "
            "back what the provider does not claim with fs-tunnel market settle"
        )


def _is_over(record: ClientRecord) -> bool:
    return record.is_over or time.time() >= record.terms.expires_at


def _tell_end(reason: Reason) -> None:
    tell({"prepaid": {"over": reason.text}})
