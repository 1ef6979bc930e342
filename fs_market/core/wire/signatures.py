# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""ECDSA over secp256k1 in the one form that the contracts accept.

A signature is r ‖ s ‖ v, 65 bytes, with s in the lower half of the order and a v of 27 or 28.
Libraries accept more (a high s, a v of 0 or 1), but the contracts revert such a signature.  A
provider that accepted one would not be paid.
"""

from coincurve import PrivateKey as Secp256k1Key
from coincurve import PublicKey as Secp256k1Point

from fs_market.core.wire.ethereum import Address, keccak
from fs_market.errors import Reason, Refused

SIGNATURE_LEN = 65
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
V_OFFSET = 27


class SigningKey:
    """A secp256k1 key that signs digests; signing is deterministic (RFC 6979)."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """``secret`` is 32 bytes.  Raise ValueError if it is 0, or not below the curve's order."""
        self._key = Secp256k1Key(secret)
        self.address = _address_of(self._key.public_key)

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest of 32 bytes; return r ‖ s ‖ v, 65 bytes."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + V_OFFSET])

    def __repr__(self) -> str:
        return f"SigningKey({self.address}, hidden)"


def check_form(signature: bytes) -> None:
    """Raise Refused (BAD_SIGNATURE) if no contract of ours accepts this form of a signature.

    The check needs no arithmetic on the curve, so it costs nothing.
    """
    if len(signature) != SIGNATURE_LEN:
        raise _bad(f"has {len(signature)} bytes, not {SIGNATURE_LEN}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not 0 < r < _ORDER:
        raise _bad("has an r that is not below the curve's order")
    if not 0 < s <= _ORDER // 2:
        raise _bad("has an s that is not in the lower half of the curve's order")
    if signature[64] not in (27, 28):
        raise _bad("has a v other than 27 and 28")


def recover_untrusted(digest: bytes, signature: bytes) -> Address:
    """Return the address that signed ``digest``; raise Refused (BAD_SIGNATURE) if none did."""
    check_form(signature)
    raw = signature[:64] + bytes([signature[64] - V_OFFSET])
    try:
        point = Secp256k1Point.from_signature_and_message(raw, digest, hasher=None)
    except Exception as error:  # coincurve raises a bare Exception
        raise _bad("gives no point of the curve") from error
    return _address_of(point)


def verify_untrusted(digest: bytes, signature: bytes, signer: Address) -> None:
    """Raise Refused (BAD_SIGNATURE) if ``signer`` did not sign ``digest``."""
    if recover_untrusted(digest, signature) != signer:
        raise _bad(f"is not by {signer}")


def message_digest(message: bytes) -> bytes:
    """Return the 32 bytes that a wallet signs for a text that people read.

    Source: EIP-191, version 0x45 (personal_sign).
    """
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


def _address_of(point: Secp256k1Point) -> Address:
    return Address(keccak(point.format(compressed=False)[1:])[12:])


def _bad(why: str) -> Refused:
    return Refused(Reason.BAD_SIGNATURE, f"a signature {why}; sign with the channel's key")
