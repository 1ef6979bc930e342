"""What the API says, as OpenAPI has it.

Times are ms since the epoch, amounts have their base units as a string (JSON's numbers end at 53
bits), uptimes are percent.  Addresses are written with EIP-55's checksum.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fs_net.fullnode.http.query import ServiceName


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True)


class Amount(_Said):
    """Base units of the market's token, and as people read them."""

    units: str = Field(examples=["50000"])
    text: str = Field(examples=["0.05 USDC"])


class Signed(_Said):
    r"""What the provider signed: 64 bytes of Ed25519, then the canonical CBOR that they cover.

    Covered is `DOMAIN + network + CBOR`, where DOMAIN is `flowshield provider record\0` or
    `flowshield heartbeat\0`.  The keys stand in the Registry on the chain, under this provider:
    look there, rather than believe who answers here.
    """

    record: str = Field(description="Hexadecimal.")
    heartbeat: str | None = Field(description="Hexadecimal; none from a silent provider.")
    network: str = Field(description="SHA-256 that names chain and Registry, hexadecimal.")


class Provider(_Said):
    """One row of the list."""

    address: str
    live: bool = Field(description="Whether a heartbeat was heard within 30 s.")
    heard_at: int | None = Field(description="When its last heartbeat was signed.")
    country: str = Field(description="As verifiers found it, or else as it claims.")
    country_name: str
    country_is_verified: bool
    price_per_gib: Amount
    price_per_hour: Amount
    uptime: float | None = Field(description="Percent of the time; none where not measured.")
    slots: int
    free_slots: int
    stake: Amount
    services: tuple[ServiceName, ...]
    refused_ports: tuple[tuple[int, int], ...] = Field(description="First and last of each range.")
    score: float | None = Field(default=None, description="0 to 100, among those that were found.")
    reasons: dict[str, float] | None = Field(default=None, description="What the score is made of.")
    signed: Signed | None = Field(default=None, description="Where `signed=true` was asked for.")


class ProviderPage(_Said):
    """Those that suit; `Link` leads to the next and the previous."""

    total: int
    skip: int
    providers: tuple[Provider, ...]


class ProviderDetail(Provider):
    """All that is known of it at present."""

    first_seen: int
    claimed_country: str
    endpoints: tuple[str, ...] = Field(description="UDP, of its tunnel.")
    sales: tuple[str, ...] = Field(description="TCP, where it negotiates.")
    wireguard_key: str = Field(description="Base64, as WireGuard writes it.")
    peer_key: str = Field(description="Ed25519 of its libp2p identity, hexadecimal.")
    quote_key: str = Field(description="The account that signs its quotes.")
    record_sequence: int = Field(description="When its record was signed.")
    record_expires_at: int
    node_key: str = Field(description="Of its record, by the Registry; hexadecimal.")
    heartbeat_key: str = Field(description="Of its heartbeats, by the Registry; hexadecimal.")


class Uptime(_Said):
    """One interval."""

    start: int
    percent: float


class UptimeHistory(_Said):
    """Intervals of `step` ms in which it was known."""

    step: int
    intervals: tuple[Uptime, ...]


class Price(_Said):
    """From `start` on."""

    start: int
    per_gib: Amount
    per_hour: Amount


class PriceHistory(_Said):
    """Each change, after the price that held in the beginning."""

    prices: tuple[Price, ...]


class CountryCount(_Said):
    """Live providers there."""

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
    """At the end of each interval of `step` ms."""

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
    """The latest first, `total` of all."""

    account: str
    total: int
    spent: Amount = Field(description="Claimed from channels that it pays.")
    earned: Amount = Field(description="Claimed from channels that pay it.")
    orders: tuple[Channel, ...]


class SignInMessage(_Said):
    """What the wallet has to sign (EIP-4361), as it stands."""

    message: str


class SignInProof(_Said):
    """It, with the wallet's signature (`personal_sign`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: str = Field(max_length=1024)
    signature: str = Field(max_length=132, description="0x and 130 hexadecimal digits.")


class SignedIn(_Said):
    """Whose orders are shown from now on."""

    account: str


class ProblemDetails(_Said):
    """RFC 9457; `detail` says what to do."""

    title: str
    status: int
    detail: str
