# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Vouchers: how one is signed, and what a payee checks before it accepts one.

A voucher is cumulative: the latest replaces all others, and a lost one costs nothing.  The cheapest
checks come first, and the signature comes last.
"""

from fs_market.core.wire.channels import Voucher, voucher_digest
from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.signatures import SigningKey, check_form, recover_untrusted
from fs_market.errors import Reason, Refused, VoucherRefused


def sign_voucher(key: SigningKey, domain: Domain, channel: bytes, cumulative: int) -> Voucher:
    """Promise ``cumulative`` base units of ``channel``."""
    return Voucher(channel, cumulative, key.sign(voucher_digest(domain, channel, cumulative)))


def screen_untrusted(voucher: Voucher, channel: bytes, deposit: int, accepted: int) -> None:
    """Raise VoucherRefused if a voucher is bad in any respect but its signature.

    ``accepted`` is the highest amount in base units that an earlier voucher promised.
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
    """Raise VoucherRefused (BAD_SIGNATURE) if the session key did not sign for this domain."""
    digest = voucher_digest(domain, voucher.channel, voucher.cumulative)
    try:
        signer = recover_untrusted(digest, voucher.signature)
    except Refused as error:
        raise VoucherRefused(error.reason, str(error)) from None
    if signer != session_key:
        raise VoucherRefused(
            Reason.BAD_SIGNATURE,
            "a voucher has no signature of the channel's session key on this chain; "
            "sign it with that key",
        )
