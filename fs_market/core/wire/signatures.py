"""ECDSA over secp256k1 as the contracts accept it: r ‖ s ‖ v, 65 bytes, s low, v 27 or 28.

Libraries accept more than that (high s, v of 0 or 1), which the contracts then revert: a service
given for such a signature would not be paid for.
"""

from coincurve import PrivateKey as Secp256k1Key
from coincurve import PublicKey as Secp256k1Point

from fs_market.core.wire.ethereum import Address, keccak
from fs_market.errors import Reason, Refused

SIGNATURE_LEN = 65
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_V_OFFSET = 27


class SigningKey:
    """A secp256k1 key that signs digests. Signing is deterministic (RFC 6979), s is low."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """``secret`` is 32 bytes, below the curve's order and not 0; ValueError otherwise."""
        self._key = Secp256k1Key(secret)
        self.address = _address_of(self._key.public_key)

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes: 65 bytes of r ‖ s ‖ v."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + _V_OFFSET])

    def __repr__(self) -> str:
        return f"SigningKey({self.address}, hidden)"


def check_form(signature: bytes) -> None:
    """Refuse what no contract of ours accepts, before any arithmetic on the curve."""
    if len(signature) != SIGNATURE_LEN:
        raise _bad(f"has {len(signature)} bytes, not {SIGNATURE_LEN}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not 0 < r < _ORDER:
        raise _bad("has an r outside of the curve's order")
    if not 0 < s <= _ORDER // 2:
        raise _bad("has no s in the lower half of the curve's order")
    if signature[64] not in (27, 28):
        raise _bad("has a v other than 27 and 28")


def recover_untrusted(digest: bytes, signature: bytes) -> Address:
    """Whose signature of ``digest`` it is; Refused (BAD_SIGNATURE) where it is nobody's."""
    check_form(signature)
    raw = signature[:64] + bytes([signature[64] - _V_OFFSET])
    try:
        point = Secp256k1Point.from_signature_and_message(raw, digest, hasher=None)
    except Exception as error:  # coincurve raises a bare one
        raise _bad("is no point of the curve") from error
    return _address_of(point)


def verify_untrusted(digest: bytes, signature: bytes, signer: Address) -> None:
    """Refused (BAD_SIGNATURE) where ``signature`` is not ``signer``'s."""
    if recover_untrusted(digest, signature) != signer:
        raise _bad(f"is not by {signer}")


def message_digest(message: bytes) -> bytes:
    """What wallets sign of a message that people read: EIP-191, version 0x45 (personal_sign)."""
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


def _address_of(point: Secp256k1Point) -> Address:
    return Address(keccak(point.format(compressed=False)[1:])[12:])


def _bad(why: str) -> Refused:
    return Refused(Reason.BAD_SIGNATURE, f"a signature {why}; sign with the channel's key")
