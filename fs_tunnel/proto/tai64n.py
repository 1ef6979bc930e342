"""TAI64N timestamps: what makes an initiation later than the one before.

Source: https://cr.yp.to/libtai/tai64.html; WireGuard paper, section 5.1.
"""

from struct import pack

# Stamps are rounded down to about 17 ms, as in the Linux driver, so that they tell an observer
# of traffic little about when a packet was made.
RESOLUTION_NS = 1 << 24

_TAI_EPOCH = 0x400000000000000A  # 2^62, and the 10 leap seconds of 1970
_NS_PER_S = 1_000_000_000


def stamp(wall_ns: int) -> bytes:
    """Return 12 bytes, ordered as the times are, for a Unix time in nanoseconds."""
    seconds, nanoseconds = divmod(wall_ns, _NS_PER_S)
    return pack(">QI", _TAI_EPOCH + seconds, nanoseconds & ~(RESOLUTION_NS - 1))
