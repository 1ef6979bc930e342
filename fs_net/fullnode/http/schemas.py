# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The API's answers, which OpenAPI describes.

Times are ms since the epoch. Amounts are base units in a string, because JSON's numbers are exact
only up to 53 bits. Uptimes are percent. Addresses have the checksum of EIP-55.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fs_net.fullnode.http.query import ServiceName


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class Amount(_Said):
    """An amount in base units of the market's token, and in the form that people read."""

    units: str = Field(examples=["50000"])
    text: str = Field(examples=["0.05 USDC"])


class Signed(_Said):
    r"""What the provider signed: an Ed25519 signature of 64 bytes, then canonical CBOR.

    The signature covers `DOMAIN + network + CBOR`. DOMAIN is `flowshield provider record\0` for a
    record and `flowshield heartbeat\0` for a heartbeat. The keys are in the Registry on the chain,
    under the provider's address. Read them there and don't trust the full node.
    """

    record: str = Field(description="Hexadecimal.")
    heartbeat: str | None = Field(description="Hexadecimal; null if the provider is silent.")
    network: str = Field(description="SHA-256 over the chain and the Registry, hexadecimal.")


class Provider(_Said):
    """One provider in the list."""

    address: str
    live: bool = Field(description="Whether a heartbeat was heard within 30 s.")
    heard_at: int | None = Field(description="When its last heartbeat was signed.")
    country: str = Field(description="Found by verifiers, otherwise claimed by the provider.")
    country_name: str
    country_is_verified: bool
    price_per_gib: Amount
    price_per_hour: Amount
    uptime: float | None = Field(description="Percent of the time; null if nobody measured it.")
    slots: int
    free_slots: int
    stake: Amount
    services: tuple[ServiceName, ...]
    refused_ports: tuple[tuple[int, int], ...] = Field(description="First and last of each range.")
    score: float | None = Field(default=None, description="0 to 100, among all matches.")
    reasons: dict[str, float] | None = Field(default=None, description="The parts of the score.")
    signed: Signed | None = Field(default=None, description="Present if you ask `signed=true`.")


class ProviderPage(_Said):
    """The matching providers; the header `Link` leads to the next and the previous page."""

    total: int
    skip: int
    providers: tuple[Provider, ...]


class ProviderDetail(Provider):
    """Everything that is known about a provider at present."""

    first_seen: int
    claimed_country: str
    endpoints: tuple[str, ...] = Field(description="UDP endpoints of its tunnel.")
    sales: tuple[str, ...] = Field(description="TCP endpoints for negotiation.")
    wireguard_key: str = Field(description="Base64, as in WireGuard's files.")
    peer_key: str = Field(description="Ed25519 key of its libp2p identity, hexadecimal.")
    quote_key: str = Field(description="The account that signs its quotes.")
    record_sequence: int = Field(description="When its record was signed.")
    record_expires_at: int
    node_key: str = Field(description="Of its record, by the Registry; hexadecimal.")
    heartbeat_key: str = Field(description="Of its heartbeats, by the Registry; hexadecimal.")


class Uptime(_Said):
    """The uptime in one interval."""

    start: int
    percent: float


class UptimeHistory(_Said):
    """Intervals of `step` ms; intervals without a measurement are left out."""

    step: int
    intervals: tuple[Uptime, ...]


class Price(_Said):
    """A price that holds from `start` on."""

    start: int
    per_gib: Amount
    per_hour: Amount


class PriceHistory(_Said):
    """Each change, after the price at the beginning."""

    prices: tuple[Price, ...]


class CountryCount(_Said):
    """The number of live providers in a country."""

    country: str
    name: str
    providers: int


class Moment(_Said):
    """The network at one time."""

    at: int
    providers: int
    live: int
    slots: int
    free_slots: int
    stake: Amount
    median_per_gib: Amount | None
    median_per_hour: Amount | None


class Network(Moment):
    """The network at present."""

    countries: tuple[CountryCount, ...]


class NetworkHistory(_Said):
    """The network at the end of each interval of `step` ms."""

    step: int
    moments: tuple[Moment, ...]


class Channel(_Said):
    """A payment channel that the account pays or is paid by."""

    channel: str
    role: Literal["payer", "payee"]
    counterparty: str
    deposit: Amount
    claimed: Amount
    refunded: Amount
    state: Literal["open", "closing", "closed"]
    opened_at: int


class AccountOrders(_Said):
    """The latest channels of an account; `total` counts all of its channels."""

    account: str
    total: int
    spent: Amount = Field(description="Claimed from channels that it pays.")
    earned: Amount = Field(description="Claimed from channels that pay it.")
    orders: tuple[Channel, ...]


class SignInMessage(_Said):
    """The message that the wallet has to sign unchanged (EIP-4361)."""

    message: str


class SignInProof(_Said):
    """The message and the wallet's signature of it (`personal_sign`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: str = Field(max_length=1024)
    signature: str = Field(max_length=132, description="0x and 130 hexadecimal digits.")


class SignedIn(_Said):
    """The account whose orders this session may read."""

    account: str


class ProblemDetails(_Said):
    """An error (RFC 9457); `detail` says what to do."""

    title: str
    status: int
    detail: str
