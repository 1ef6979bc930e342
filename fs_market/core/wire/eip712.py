# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""EIP-712: a wallet signs a struct under a domain that names the chain and the contract.

A digest is ``keccak(0x1901 ‖ domain ‖ struct)``.  Both hashes cover a type's hash and the fields as
32-byte words.  Every struct of ours has only fields of a fixed size, except ``Open``, which holds
one struct.  Source: EIP-712, "Specification".
"""

from dataclasses import dataclass
from functools import cached_property

from fs_market.core.wire.ethereum import Address, keccak

Word = int | bytes | Address

_DOMAIN_TYPE = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)


def type_hash(type_string: str) -> bytes:
    """Return the hash of ``Name(type field,…)``: 32 bytes."""
    return keccak(type_string.encode("ascii"))


def encode_words(*fields: Word) -> bytes:
    """Return the fields as 32-byte words of the ABI: zeroes precede a number or an address.

    Raise ValueError if bytes have another length than 32, OverflowError if a number is too large.
    """
    return b"".join(map(_word, fields))


def struct_hash(hashed_type: bytes, *fields: Word) -> bytes:
    """Return the hash of a struct whose fields are single words: 32 bytes."""
    return keccak(hashed_type + encode_words(*fields))


@dataclass(frozen=True)
class Domain:
    """The chain and the contract for which a signature counts.

    A signature for another domain recovers to another address.
    """

    name: str
    version: str
    chain_id: int
    contract: Address

    def digest(self, hashed_struct: bytes) -> bytes:
        """Return the 32 bytes to sign."""
        return keccak(b"\x19\x01" + self._separator + hashed_struct)

    @cached_property
    def _separator(self) -> bytes:
        name, version = keccak(self.name.encode()), keccak(self.version.encode())
        return struct_hash(_DOMAIN_TYPE, name, version, self.chain_id, self.contract)


def _word(field: Word) -> bytes:
    match field:
        case int():
            return field.to_bytes(32, "big")
        case Address():
            return bytes(12) + field.raw
        case _ if len(field) == 32:
            return field
    raise ValueError(f"bytes32 has 32 bytes, not {len(field)}")
