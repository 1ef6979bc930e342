"""What the shells need of others, as Protocols; ``fs_tunnel.cli`` wires them."""

from collections.abc import AsyncIterator
from typing import Protocol

from fs_market.chain.fees import Fees
from fs_market.chain.transactions import Call, Signed
from fs_market.core.wire.ethereum import Address
from fs_wire.types import Endpoint, IPAddress, PublicKey


class TransactionSigner(Protocol):
    """Who holds the key of an account: a keystore here, a device elsewhere."""

    @property
    def address(self) -> Address: ...

    def sign_transaction(
        self, chain_id: int, call: Call, gas: int, nonce: int, fees: Fees
    ) -> Signed:
        """A transaction of type 2 (EIP-1559)."""
        ...


class Duplex(Protocol):
    """Bytes both ways between us and one other, whatever carries them."""

    async def read(self, most: int) -> bytes:
        """Up to ``most`` bytes, and none after the end; OSError where it broke.

        One that was cancelled has lost nothing.
        """
        ...

    def write(self, data: bytes) -> None:
        """Have it sent, and do not wait; after the end it is lost."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes that wait for the other side to read."""
        ...

    def abort(self) -> None:
        """End it at once."""
        ...

    async def close(self) -> None:
        """End it when all is sent, or a moment has passed."""
        ...


class Route(Protocol):
    """A way to a provider; its text stands in messages, after "at"."""

    async def dial(self) -> Duplex:
        """OSError or TimeoutError where it leads nowhere."""
        ...


class Engine(Protocol):
    """The engine of one tunnel, as who meters its peers needs it.

    Every method raises OSError where the engine is gone: an agent ends then, and is started again
    with another. EngineRefused is about the one peer.
    """

    async def add_peer(self, peer: PublicKey, addresses: tuple[IPAddress, ...]) -> None:
        """Let a peer in, with these addresses; one that is there keeps its session."""
        ...

    async def remove_peer(self, peer: PublicKey) -> None:
        """Cut it off; nothing happens where there is none."""
        ...

    async def count(self, peer: PublicKey) -> tuple[int, int]:
        """Bytes received from and sent to a peer since it was added; both 0 where there is none."""
        ...

    async def limit(
        self, peer: PublicKey, *, credit: int, credit_low: int, exempt: Endpoint | None, rate: int
    ) -> None:
        """How far a peer may go, in the engine's count; see ``fs_wire.control``."""
        ...

    def low_credits(self) -> AsyncIterator[PublicKey]:
        """The peers whose credit is about to end, as it happens."""
        ...
