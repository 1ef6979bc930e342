# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The interfaces that this package needs from others; ``fs_tunnel.roles`` implements them."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listing:
    """What the chain says about a provider whose stake counts.

    ``node_key`` and ``heartbeat_key`` are the Ed25519 keys in the Registry, 32 bytes each.
    ``slots`` is the number of clients that the stake covers, and ``stake`` its amount in base
    units. ``verified_country`` is what verifiers found, never the provider's own claim: two
    letters, or empty.
    """

    node_key: bytes
    heartbeat_key: bytes
    slots: int
    stake: int
    verified_country: bytes = b""


class ChainView(Protocol):
    """The Registry and the StakeBook, as they were last read."""

    def listing(self, provider: bytes) -> Listing | None:
        """Return the listing of this address of 20 bytes, from memory and without waiting."""
        ...


class RegistryView(ChainView, Protocol):
    """A view of all providers, not only of the providers that somebody asked for."""

    def node_keys(self) -> frozenset[bytes]:
        """Return the node keys of all listings, from memory and without waiting."""
        ...
