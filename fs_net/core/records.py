# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a provider announces: a record now and then, and a heartbeat every few seconds.

Both are sent as a signature, followed by the canonical CBOR that it covers. Each kind has a domain
of its own, and a signature covers the network that it is for (chain and Registry). So a signature
for one purpose or one chain is invalid for any other. The keys are in the Registry, under the
provider's stake, and are not sent.

A sequence is the time of signing in milliseconds since the epoch, and rises strictly. Because it is
a time, a peer knows when all earlier records must have expired. It can then forget a record for
good.
"""

from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Generic, TypeVar

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from fs_net.errors import Reason, Refused
from fs_wire.codec import decode_untrusted, encode
from fs_wire.errors import Malformed
from fs_wire.schema import (
    U16,
    U32,
    U48,
    BaseUnits,
    Bytes,
    Endpoints,
    Hash,
    ListOf,
    Record,
    WireGuardKey,
    from_value_untrusted,
    to_value,
)

VERSION = 1
ID_LEN = 16
MAX_SIGNED = 768  # bytes of a record with its signature; the longest has about 550
_SIGNATURE_LEN = 64

MAX_RECORD_LIFETIME = 24 * 3600 * 1000  # ms
HEARTBEAT_INTERVAL = 5_000  # ms
HEARTBEAT_LIFETIME = 30_000  # ms; a provider without a heartbeat for so long is silent

ProviderAddress = Annotated[bytes, Bytes(20)]
Country = Annotated[bytes, Bytes(2)]


class Service(IntFlag):
    """What a provider sells; unknown bits of later versions are kept and ignored."""

    EXIT = 1  # to the internet
    RELAY = 2  # to the next provider in a row of providers


@dataclass(frozen=True, slots=True)
class PortRange:
    """Destination ports from ``first`` to ``last``, both included."""

    first: U16
    last: U16


RefusedPorts = Annotated[tuple[PortRange, ...], ListOf(Record(PortRange), 16)]


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """What is on offer, signed by the node key."""

    provider: ProviderAddress
    sequence: U48  # ms since the epoch
    expires_at: U48  # ms since the epoch, at most MAX_RECORD_LIFETIME after ``sequence``
    endpoints: Endpoints  # UDP endpoints of its tunnel
    sales: Endpoints  # TCP endpoints for negotiation; empty if it negotiates over libp2p only
    wireguard_key: WireGuardKey
    peer_key: Hash  # the Ed25519 key of its libp2p identity
    quote_key: ProviderAddress  # the account that signs its quotes
    price_per_gib: BaseUnits
    price_per_hour: BaseUnits
    slots: U32  # clients at a time
    claimed_country: Country  # ISO 3166-1; ``Listing`` has what verifiers found
    services: U16  # bits of Service
    refused_ports: RefusedPorts = ()  # destination ports that the exit refuses


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Says that the provider runs, and how many slots are free; signed by the heartbeat key."""

    provider: ProviderAddress
    sequence: U48  # ms since the epoch
    record: U48  # the sequence of its latest record
    free_slots: U32


Content = ProviderRecord | Heartbeat
T = TypeVar("T", ProviderRecord, Heartbeat)

_DOMAINS: dict[type[Content], bytes] = {
    ProviderRecord: b"flowshield provider record\0",
    Heartbeat: b"flowshield heartbeat\0",
}


@dataclass(frozen=True)
class Signed(Generic[T]):
    """A record or a heartbeat with its signature, in wire format."""

    content: T
    raw: bytes

    @cached_property
    def id(self) -> bytes:
        """The id by which full nodes compare: 16 bytes of SHA-256 over the wire format."""
        return sha256(self.raw).digest()[:ID_LEN]

    def check(self, key: bytes, network: bytes) -> None:
        """Raise Refused unless ``key`` signed this for ``network``, which is 32 bytes."""
        signature, body = self.raw[:_SIGNATURE_LEN], self.raw[_SIGNATURE_LEN:]
        try:
            VerifyKey(key).verify(_covered(type(self.content), network, body), signature)
        except (BadSignatureError, ValueError):
            raise Refused(
                Reason.BAD_SIGNATURE,
                "the registered key did not make this signature; ask another full node",
            ) from None


SignedContent = Signed[ProviderRecord] | Signed[Heartbeat]


def sign(content: T, key: SigningKey, network: bytes) -> Signed[T]:
    """Sign content; ``network`` is the ``network_id`` of the market with the key's Registry."""
    body = encode([VERSION, *to_value(content)])
    return Signed(content, key.sign(_covered(type(content), network, body)).signature + body)


def parse_untrusted(kind: type[T], raw: bytes) -> Signed[T]:
    """Decode what ``sign`` made, without a signature check; raises Refused for other bytes."""
    if len(raw) > MAX_SIGNED:
        raise Refused(
            Reason.OVERSIZED, f"{len(raw)} bytes exceed {MAX_SIGNED}; ask another full node"
        )
    try:
        value = decode_untrusted(raw[_SIGNATURE_LEN:])
        if type(value) is not list or not value or type(value[0]) is not int:
            raise Malformed("the record has no version; ask another full node")
        if value[0] != VERSION:
            raise Refused(Reason.VERSION, f"version {value[0]}, not {VERSION}; update this program")
        content = from_value_untrusted(kind, value[1:])
    except Malformed as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
    if isinstance(content, ProviderRecord):
        _check_sense(content)
    return Signed(content, raw)


def network_id(chain_id: int, registry: bytes) -> bytes:
    """The id that separates one market from another: the chain, and the Registry's address."""
    return sha256(encode([chain_id, registry])).digest()


def _check_sense(record: ProviderRecord) -> None:
    letters = record.claimed_country
    if not (
        record.slots > 0
        and record.endpoints
        and letters.isalpha()
        and letters.isupper()
        and record.sequence < record.expires_at <= record.sequence + MAX_RECORD_LIFETIME
        and all(ports.first <= ports.last for ports in record.refused_ports)
    ):
        raise Refused(Reason.MALFORMED, "the record contradicts itself; ask another full node")


def _covered(kind: type[Content], network: bytes, body: bytes) -> bytes:
    return _DOMAINS[kind] + network + body
