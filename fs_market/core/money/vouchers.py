"""Vouchers: the session key promises the payee so much in total since the channel was opened.

They are cumulative: the latest replaces all others, and one that is lost costs nothing.  What costs
least is checked first, and the signature last.
"""

from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.schema import BaseUnits, Hash, Signature
from fs_market.core.wire.signatures import SigningKey, check_form, recover_untrusted
from fs_market.errors import Reason, Refused, VoucherRefused

_VOUCHER_TYPE = type_hash("Voucher(bytes32 channelId,uint96 cumulative)")


@dataclass(frozen=True, slots=True)
class Voucher:
    """``cumulative`` base units in total; the signature is r ‖ s ‖ v, 65 bytes."""

    channel: Hash
    cumulative: BaseUnits
    signature: Signature


def voucher_digest(domain: Domain, channel: bytes, cumulative: int) -> bytes:
    """What the session key signs: 32 bytes."""
    return domain.digest(struct_hash(_VOUCHER_TYPE, channel, cumulative))


def sign_voucher(key: SigningKey, domain: Domain, channel: bytes, cumulative: int) -> Voucher:
    """Promise ``cumulative`` base units of ``channel``."""
    return Voucher(channel, cumulative, key.sign(voucher_digest(domain, channel, cumulative)))


def screen_untrusted(voucher: Voucher, channel: bytes, deposit: int, accepted: int) -> None:
    """Refuse a voucher for any reason that costs nothing to find: all but its signature.

    ``accepted`` is the most that a voucher of this channel promised so far.
    """
    if voucher.channel != channel:
        raise VoucherRefused(
            Reason.FOREIGN_CHANNEL, "a voucher is for another channel; pay into the session's own"
        )
    if voucher.cumulative <= accepted:
        raise VoucherRefused(
            Reason.NOTHING_NEW,
            f"a voucher of {voucher.cumulative} adds nothing to {accepted}; promise more",
        )
    if voucher.cumulative > deposit:
        raise VoucherRefused(
            Reason.OVER_DEPOSIT,
            f"a voucher of {voucher.cumulative} is above the deposit of {deposit}; top it up",
        )
    try:
        check_form(voucher.signature)
    except Refused as error:
        raise VoucherRefused(error.reason, str(error)) from None


def verify_untrusted(voucher: Voucher, domain: Domain, session_key: Address) -> None:
    """VoucherRefused (BAD_SIGNATURE) where the session key of this domain did not sign it."""
    digest = voucher_digest(domain, voucher.channel, voucher.cumulative)
    try:
        signer = recover_untrusted(digest, voucher.signature)
    except Refused as error:
        raise VoucherRefused(error.reason, str(error)) from None
    if signer != session_key:
        raise VoucherRefused(
            Reason.BAD_SIGNATURE,
            "a voucher is not by the channel's session key on this chain; sign it with that key",
        )
