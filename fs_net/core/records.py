"""What a provider says of itself: a record now and then, a heartbeat every few seconds.

Both travel as a signature followed by the canonical CBOR that it covers.  Each kind has a domain
of its own, and a signature names the network it is for (chain and Registry), so that nothing
signed for one purpose or one chain serves for another.  The keys stand in the Registry, under the
provider's stake; they do not travel.

A sequence is the time of signing in milliseconds since the epoch, and rises strictly.  Because
it is a time, whoever forgets a record when all before it must have expired can forget it for good.
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
MAX_SIGNED = 768  # bytes of a record with its signature; a full one has about 550
_SIGNATURE_LEN = 64

MAX_RECORD_LIFETIME = 24 * 3600 * 1000  # ms
HEARTBEAT_INTERVAL = 5_000  # ms
HEARTBEAT_LIFETIME = 30_000  # ms; a provider that was not heard for so long is gone

ProviderAddress = Annotated[bytes, Bytes(20)]
Country = Annotated[bytes, Bytes(2)]


class Service(IntFlag):
    """What a provider sells; bits of later versions are kept and mean nothing here."""

    EXIT = 1  # to the internet
    RELAY = 2  # to the next provider of a chain


@dataclass(frozen=True, slots=True)
class PortRange:
    """Destination ports, both ends included."""

    first: U16
    last: U16


RefusedPorts = Annotated[tuple[PortRange, ...], ListOf(Record(PortRange), 16)]


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """What is on offer, signed by the node key."""

    provider: ProviderAddress
    sequence: U48  # ms since the epoch
    expires_at: U48  # ms since the epoch, at most MAX_RECORD_LIFETIME after ``sequence``
    endpoints: Endpoints  # UDP, of its tunnel
    sales: Endpoints  # TCP, where it negotiates; none where only its libp2p peer does
    wireguard_key: WireGuardKey
    peer_key: Hash  # Ed25519, of its libp2p identity
    quote_key: ProviderAddress  # the account that signs its quotes
    price_per_gib: BaseUnits
    price_per_hour: BaseUnits
    slots: U32  # clients at a time
    claimed_country: Country  # ISO 3166-1; what verifiers found stands in Listing
    services: U16  # of Service
    refused_ports: RefusedPorts = ()  # policy of the exit


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """That it lives, and what changed since its record; signed by the heartbeat key."""

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
    """Something said, as it travels."""

    content: T
    raw: bytes

    @cached_property
    def id(self) -> bytes:
        """What nodes compare: 16 bytes of SHA-256 over what travels."""
        return sha256(self.raw).digest()[:ID_LEN]

    def check(self, key: bytes, network: bytes) -> None:
        """Refused unless ``key`` signed it for ``network``, which is 32 bytes."""
        signature, body = self.raw[:_SIGNATURE_LEN], self.raw[_SIGNATURE_LEN:]
        try:
            VerifyKey(key).verify(_covered(type(self.content), network, body), signature)
        except (BadSignatureError, ValueError):
            raise Refused(
                Reason.BAD_SIGNATURE, "a signature is not the registered key's; ask another node"
            ) from None


SignedContent = Signed[ProviderRecord] | Signed[Heartbeat]


def sign(content: T, key: SigningKey, network: bytes) -> Signed[T]:
    """Say it; ``network`` is ``network_id`` of where the key is registered."""
    body = encode([VERSION, *to_value(content)])
    return Signed(content, key.sign(_covered(type(content), network, body)).signature + body)


def parse_untrusted(kind: type[T], raw: bytes) -> Signed[T]:
    """What ``sign`` made, its signature not checked yet; Refused for any other bytes."""
    if len(raw) > MAX_SIGNED:
        raise Refused(Reason.OVERSIZED, f"{len(raw)} bytes, of {MAX_SIGNED} at most; ask another")
    try:
        value = decode_untrusted(raw[_SIGNATURE_LEN:])
        if type(value) is not list or not value or type(value[0]) is not int:
            raise Malformed("no version; ask another node")
        if value[0] != VERSION:
            raise Refused(Reason.VERSION, f"version {value[0]}, not {VERSION}; update this side")
        content = from_value_untrusted(kind, value[1:])
    except Malformed as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
    if isinstance(content, ProviderRecord):
        _check_sense(content)
    return Signed(content, raw)


def network_id(chain_id: int, registry: bytes) -> bytes:
    """What separates one market from another: a chain, and the Registry's address on it."""
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
        raise Refused(Reason.MALFORMED, "a record contradicts itself; ask another node")


def _covered(kind: type[Content], network: bytes, body: bytes) -> bytes:
    return _DOMAINS[kind] + network + body
