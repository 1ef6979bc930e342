# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keccak-256 and addresses: everything on an EVM chain is named by one of them."""

from dataclasses import dataclass
from typing import Self

from eth_hash.auto import keccak

from fs_market.errors import AmountError

ADDRESS_LEN = 20
HASH_LEN = 32

__all__ = ["ADDRESS_LEN", "HASH_LEN", "ZERO_ADDRESS", "Address", "keccak"]


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """The address of an account or a contract: 20 bytes.

    Its text has the checksum of EIP-55 in its capital letters.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != ADDRESS_LEN:
            raise AmountError(
                f"an address has {ADDRESS_LEN} bytes, not {len(self.raw)}; copy all of it"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``0x…`` in lower case, or with a valid checksum; raise AmountError otherwise."""
        digits = text[2:]
        try:
            raw = bytes.fromhex(digits) if text[:2] == "0x" and digits.isalnum() else b""
        except ValueError:
            raw = b""
        if len(raw) != ADDRESS_LEN:
            raise AmountError(f"{text!r} is not an address; copy 0x and 40 hexadecimal digits")
        address = cls(raw)
        if digits != digits.lower() and str(address) != text:
            raise AmountError(f"{text!r} has a wrong checksum; copy the address again")
        return address

    def __str__(self) -> str:
        digits = self.raw.hex()
        marks = keccak(digits.encode()).hex()
        cased = (
            digit.upper() if int(mark, 16) >= 8 else digit
            for digit, mark in zip(digits, marks, strict=False)
        )
        return "0x" + "".join(cased)

    def __repr__(self) -> str:
        return f"Address({self})"


ZERO_ADDRESS = Address(bytes(ADDRESS_LEN))
