"""What this package asks of others; wired in ``cli``."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listing:
    """What the chain says of a provider whose stake counts.

    ``node_key`` and ``heartbeat_key`` are the Ed25519 keys of the Registry's entry, 32 bytes each;
    ``slots`` is what the stake covers, ``stake`` its weight in base units.  ``verified_country``
    is the finding of verifiers, never the provider's own claim: two letters, or nothing.
    """

    node_key: bytes
    heartbeat_key: bytes
    slots: int
    stake: int
    verified_country: bytes = b""


class ChainView(Protocol):
    """The Registry and the StakeBook, as last read."""

    def listing(self, provider: bytes) -> Listing | None:
        """The listing under this address, of 20 bytes; from memory, never waits."""
        ...


class RegistryView(ChainView, Protocol):
    """A view of all providers, not only of those that somebody asked for."""

    def node_keys(self) -> frozenset[bytes]:
        """Of all listings; from memory, never waits."""
        ...
