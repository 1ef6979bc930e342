# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Receipts: both sides agree on the traffic of an epoch, and each receipt names the one before it.

The provider signs with its node key, then the client with the channel's session key.  Counts are
cumulative since the session began; the histogram covers this epoch alone.  A receipt tells volume,
not quality: it does not show what the client asked for and did not get.  No side signs two
receipts for one epoch, because the two together prove which side lied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import HASH_LEN
from fs_market.core.wire.schema import U32, U64, Flag, Hash
from fs_market.errors import Reason, Refused

EPOCH_SECONDS = 60
BUCKETS = 16
FIRST_RECEIPT = bytes(HASH_LEN)  # the first receipt has this as its ``previous``
_MAX_COUNT = 2**16 - 1  # seconds in a bucket
_SMALLEST_BITS = 14  # the first bucket is for rates below 16 KiB/s

_RECEIPT_TYPE = type_hash(
    "Receipt(bytes32 channelId,uint32 epoch,bytes32 previous,uint64 upBytes,uint64 downBytes,"
    "uint32 activeSeconds,bytes32 rates,bool demandLimited)"
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One epoch of a session.

    ``rates`` is a histogram of 16 counts of 16 bits, big-endian.  Each is a number of seconds of
    the epoch: the first at less than 16 KiB/s, the next at less than 32 KiB/s, and so on up to 256
    MiB/s.  The last count is for all higher rates.  ``demand_limited`` is true if the provider's
    credit window never held traffic back.
    """

    channel: Hash
    epoch: U32  # the first is 0
    previous: Hash
    up: U64  # bytes from the client
    down: U64  # bytes to the client
    seconds: U32
    rates: Hash
    demand_limited: Flag


def receipt_digest(domain: Domain, receipt: Receipt) -> bytes:
    """Return the 32 bytes that both sides sign, and that the next receipt names."""
    return domain.digest(
        struct_hash(
            _RECEIPT_TYPE,
            *(receipt.channel, receipt.epoch, receipt.previous, receipt.up, receipt.down),
            *(receipt.seconds, receipt.rates, receipt.demand_limited),
        )
    )


def bucket_of(rate: int) -> int:
    """Return the index, 0 to 15, of the count for a second in which ``rate`` bytes passed."""
    return min(max(rate.bit_length() - _SMALLEST_BITS, 0), BUCKETS - 1)


def pack_rates(counts: Sequence[int]) -> bytes:
    """Pack 16 counts of seconds into the 32 bytes of ``rates``; a count stops at 65,535."""
    return b"".join(min(count, _MAX_COUNT).to_bytes(2, "big") for count in counts)


def unpack_rates(rates: bytes) -> list[int]:
    """Return the 16 counts of seconds: the reverse of ``pack_rates``."""
    return [int.from_bytes(rates[at : at + 2], "big") for at in range(0, HASH_LEN, 2)]


def check_follows_untrusted(receipt: Receipt, before: Receipt | None, previous: bytes) -> None:
    """Raise Refused (BAD_RECEIPT) if ``receipt`` does not continue ``before``.

    ``previous`` is the digest of ``before``, or FIRST_RECEIPT.
    """
    epoch, up, down, seconds = 0, 0, 0, 0
    if before is not None:
        epoch, up, down, seconds = before.epoch + 1, before.up, before.down, before.seconds
    if receipt.epoch != epoch or receipt.previous != previous:
        raise _bad("does not name the receipt before it")
    if receipt.up < up or receipt.down < down or receipt.seconds < seconds:
        raise _bad("counts less than the receipt before it")
    if sum(unpack_rates(receipt.rates)) > receipt.seconds - seconds:
        raise _bad("has more seconds in its histogram than the epoch")


def _bad(why: str) -> Refused:
    return Refused(Reason.BAD_RECEIPT, f"a receipt {why}; leave this session")
