# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Turns what the catalogue has into what the API returns."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from eth_utils.address import to_checksum_address

from fs_net.core.matching import Candidate, Match
from fs_net.core.records import Service
from fs_net.fullnode.catalogue import (
    OrderView,
    PricePoint,
    ProviderView,
    Statistics,
    Token,
    UptimePoint,
)
from fs_net.fullnode.http import schemas
from fs_net.fullnode.http.amounts import format_amount
from fs_net.fullnode.http.countries import name_of
from fs_net.fullnode.http.query import SERVICES

PERCENT = 10_000  # parts of a million

checksummed = lru_cache(65_536)(lambda raw: str(to_checksum_address(raw)))


def parse_address(text: str) -> bytes | None:
    """Return the 20 bytes of ``0x`` and 40 digits in any case, or None for anything else."""
    digits = text[2:]
    if not (text[:2] == "0x" and len(digits) == 40 and digits.isascii() and digits.isalnum()):
        return None
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None


class Describer:
    """Describes everything in the market's token, for one network."""

    def __init__(self, token: Token, network: bytes) -> None:
        self.token, self._network = token, network.hex()

    def amount(self, units: int) -> schemas.Amount:
        return schemas.Amount(units=str(units), text=format_amount(units, self.token))

    def match(self, found: Match, *, signed: bool) -> schemas.Provider:
        return schemas.Provider(
            **self._provider(found.candidate),
            score=found.score / PERCENT,
            reasons={facet.value: share / PERCENT for facet, share in found.facets.items()},
            signed=self._signed(found.candidate) if signed else None,
        )

    def provider(self, view: ProviderView) -> schemas.ProviderDetail:
        candidate = view.candidate
        record, listing = candidate.entry.record.content, candidate.listing
        return schemas.ProviderDetail(
            **self._provider(candidate),
            signed=self._signed(candidate),
            first_seen=view.first_seen,
            claimed_country=record.claimed_country.decode("ascii"),
            endpoints=tuple(map(str, record.endpoints)),
            sales=tuple(map(str, record.sales)),
            wireguard_key=str(record.wireguard_key),
            peer_key=record.peer_key.hex(),
            quote_key=checksummed(record.quote_key),
            record_sequence=record.sequence,
            record_expires_at=record.expires_at,
            node_key=listing.node_key.hex(),
            heartbeat_key=listing.heartbeat_key.hex(),
        )

    def statistics(self, found: Statistics) -> schemas.Network:
        return schemas.Network(
            **self._moment(found),
            countries=tuple(
                schemas.CountryCount(country=code, name=name_of(code), providers=count)
                for code, count in found.countries
            ),
        )

    def history(self, found: Iterable[Statistics], step: int) -> schemas.NetworkHistory:
        moments = tuple(schemas.Moment(**self._moment(each)) for each in found)
        return schemas.NetworkHistory(step=step, moments=moments)

    def uptime(self, points: Iterable[UptimePoint], step: int) -> schemas.UptimeHistory:
        return schemas.UptimeHistory(
            step=step,
            intervals=tuple(
                schemas.Uptime(start=each.start, percent=each.share / PERCENT) for each in points
            ),
        )

    def prices(self, points: Iterable[PricePoint]) -> schemas.PriceHistory:
        return schemas.PriceHistory(
            prices=tuple(
                schemas.Price(
                    start=each.start,
                    per_gib=self.amount(each.per_gib),
                    per_hour=self.amount(each.per_hour),
                )
                for each in points
            )
        )

    def orders(
        self, account: bytes, found: Sequence[OrderView], most: int
    ) -> schemas.AccountOrders:
        """Describe the latest ``most`` channels; the sums cover all channels."""
        return schemas.AccountOrders(
            account=checksummed(account),
            total=len(found),
            spent=self.amount(sum(each.claimed for each in found if each.payer == account)),
            earned=self.amount(sum(each.claimed for each in found if each.payee == account)),
            orders=tuple(self._channel(each, account) for each in found[:most]),
        )

    def _moment(self, found: Statistics) -> dict[str, Any]:
        per_gib, per_hour = found.median_per_gib, found.median_per_hour
        return {
            "at": found.at,
            "providers": found.providers,
            "live": found.live,
            "slots": found.slots,
            "free_slots": found.free_slots,
            "stake": self.amount(found.stake),
            "median_per_gib": None if per_gib is None else self.amount(per_gib),
            "median_per_hour": None if per_hour is None else self.amount(per_hour),
        }

    def _channel(self, order: OrderView, account: bytes) -> schemas.Channel:
        pays = order.payer == account
        return schemas.Channel(
            channel="0x" + order.channel.hex(),
            role="payer" if pays else "payee",
            counterparty=checksummed(order.payee if pays else order.payer),
            deposit=self.amount(order.deposit),
            claimed=self.amount(order.claimed),
            refunded=self.amount(order.refunded),
            state=order.state.value,
            opened_at=order.opened_at,
        )

    def _signed(self, candidate: Candidate) -> schemas.Signed:
        heartbeat = candidate.entry.heartbeat
        return schemas.Signed(
            record=candidate.entry.record.raw.hex(),
            heartbeat=heartbeat.raw.hex() if heartbeat else None,
            network=self._network,
        )

    def liveness(self, candidate: Candidate) -> dict[str, object]:
        """The facts about a provider that change from one heartbeat to the next."""
        heartbeat = candidate.entry.heartbeat
        return {
            "live": heartbeat is not None,
            "heard_at": heartbeat.content.sequence if heartbeat else None,
            "slots": candidate.entry.record.content.slots,
            "free_slots": candidate.free_slots,
        }

    def _provider(self, candidate: Candidate) -> dict[str, Any]:
        record = candidate.entry.record.content
        country = candidate.country.decode("ascii")
        return self.liveness(candidate) | {
            "address": checksummed(record.provider),
            "country": country,
            "country_name": name_of(country),
            "country_is_verified": bool(candidate.listing.verified_country),
            "price_per_gib": self.amount(record.price_per_gib),
            "price_per_hour": self.amount(record.price_per_hour),
            "uptime": None if candidate.uptime is None else candidate.uptime / PERCENT,
            "stake": self.amount(candidate.listing.stake),
            "services": services_of(record.services),
            "refused_ports": tuple((each.first, each.last) for each in record.refused_ports),
        }


def services_of(bits: int) -> tuple[str, ...]:
    """Return the names of the services that this version knows."""
    return tuple(name for name, bit in SERVICES.items() if Service(bits) & bit)
