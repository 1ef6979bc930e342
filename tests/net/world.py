# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Providers, a chain that lists them, and a clock that stands still."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from nacl.signing import SigningKey

from fs_net.core.announcer import Announcer, Keys
from fs_net.core.records import Heartbeat, ProviderRecord, Service, Signed, network_id
from fs_net.ports import Listing
from fs_wire.types import Endpoint, PublicKey

NETWORK = network_id(1, bytes(20))
NOW = 1_700_000_000_000  # ms
HOUR = 3_600_000
ALICE, EVE = b"alice's peer id", b"eve's peer id"


@dataclass
class Chain:
    """A Registry in memory."""

    listings: dict[bytes, Listing] = field(default_factory=dict)

    def listing(self, provider: bytes) -> Listing | None:
        return self.listings.get(provider)

    def node_keys(self) -> frozenset[bytes]:
        return frozenset(listing.node_key for listing in self.listings.values())


class Provider:
    """A provider whose keys are made from its number."""

    def __init__(self, number: int, network: bytes = NETWORK) -> None:
        self.address = number.to_bytes(20, "big")
        self.keys = Keys(SigningKey(_seed(number, 1)), SigningKey(_seed(number, 2)))
        self.announcer = Announcer(self.keys, network)
        self.offer = ProviderRecord(
            provider=self.address,
            sequence=0,
            expires_at=0,
            endpoints=(Endpoint("192.0.2.1", 51820), Endpoint("2001:db8::1", 51820)),
            sales=(Endpoint("192.0.2.1", 4700),),
            wireguard_key=PublicKey(_seed(number, 3)),
            peer_key=_seed(number, 4),
            quote_key=_seed(number, 5)[-20:],
            price_per_gib=10**16,
            price_per_hour=10**15,
            slots=50,
            claimed_country=b"DE",
            services=Service.EXIT | Service.RELAY,
        )

    def listing(self, stake: int = 1000) -> Listing:
        node, heartbeat = self.keys.node.verify_key, self.keys.heartbeat.verify_key
        return Listing(bytes(node), bytes(heartbeat), slots=50, stake=stake)

    def record(
        self, now: int = NOW, lifetime: int = HOUR, **said: object
    ) -> Signed[ProviderRecord]:
        offer = replace(self.offer, **said)  # type: ignore[arg-type]
        return self.announcer.record(offer, lifetime, now)

    def heartbeat(self, now: int = NOW, free: int = 7) -> Signed[Heartbeat]:
        return self.announcer.heartbeat(self.address, free, now)


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def _seed(number: int, purpose: int) -> bytes:
    return number.to_bytes(31, "big") + bytes([purpose])
