# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How a user names a provider, and where a provider of the network negotiates."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from fs_market.core.wire.ethereum import Address
from fs_net.core.records import ProviderRecord, Signed
from fs_net.peer_ids import name_of, peer_id
from fs_wire.errors import UsageError


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider negotiates. ``node`` must sign its quotes; None allows any signature.

    ``record`` is its checked record from the network; None if the user named the provider. ``peer``
    is its binary libp2p id if only full nodes lead to it; it then has no ``host``.
    """

    host: str
    port: int
    node: Address | None = None
    record: Signed[ProviderRecord] | None = None
    peer: bytes = b""

    @property
    def place(self) -> str:
        """``HOST:PORT``, with an IPv6 address in brackets, or the name of the peer."""
        if self.peer:
            return f"peer {name_of(self.peer)}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """Its name wherever it negotiates: its account if that is known, or else the place."""
        return self.place if self.record is None else str(Address(self.record.content.provider))


def places_of(record: Signed[ProviderRecord]) -> list[Provider]:
    """Where the provider of a record negotiates; as a peer if the record names no address."""
    said = record.content
    node = Address(said.quote_key)
    if not said.sales:
        return [Provider("", 0, node, record, peer_id(said.peer_key))]
    return [Provider(each.ip, each.port, node, record) for each in said.sales]


def parse_provider(text: str) -> Provider:
    """Parse ``HOST:PORT``, or a file with ``address`` and ``node``; UsageError for neither."""
    if "/" in text or text.endswith(".toml"):
        try:
            parsed = tomllib.loads(Path(text).read_text())
            address, node = parsed["address"], parsed.get("node")
            found = parse_provider(address)
            return Provider(found.host, found.port, Address.parse(node) if node else None)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
            raise UsageError(
                f'{text} does not name a provider; write address = "HOST:PORT" and node = "0x…"'
            ) from None
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
        raise UsageError(
            f"{text!r} is no provider; write HOST:PORT, its account 0x…, or the path of its file"
        )
    return Provider(host, int(port))
