"""What the shells need of others, as Protocols; ``fs_tunnel.cli`` wires them."""

from typing import Protocol

from fs_market.core.ethereum import Address
from fs_market.fees import Fees
from fs_market.transactions import Call, Signed


class TransactionSigner(Protocol):
    """Who holds the key of an account: a keystore here, a device elsewhere."""

    @property
    def address(self) -> Address: ...

    def sign_transaction(
        self, chain_id: int, call: Call, gas: int, nonce: int, fees: Fees
    ) -> Signed:
        """A transaction of type 2 (EIP-1559)."""
        ...
