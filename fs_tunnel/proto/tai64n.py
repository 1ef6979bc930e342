# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""TAI64N timestamps, which tell a later initiation from an earlier one.

Source: https://cr.yp.to/libtai/tai64.html; WireGuard paper, section 5.1.
"""

from struct import pack

# Stamps are rounded down to about 17 ms, as in the Linux driver.  So they tell an observer of
# traffic little about when a packet was made.
RESOLUTION_NS = 1 << 24

_TAI_EPOCH = 0x400000000000000A  # 2^62, and the 10 leap seconds of 1970
_NS_PER_S = 1_000_000_000


def stamp(wall_ns: int) -> bytes:
    """Return the stamp of a Unix time in nanoseconds: 12 bytes that sort as the times do."""
    seconds, nanoseconds = divmod(wall_ns, _NS_PER_S)
    return pack(">QI", _TAI_EPOCH + seconds, nanoseconds & ~(RESOLUTION_NS - 1))


class Stamps:
    """The stamps of our initiations to one peer; within one run, they only grow.

    A clock that is set back must not make the peer unreachable (CVE-2021-46873).
    """

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest = 0  # Unix time in nanoseconds

    def next(self, wall_ns: int) -> bytes:
        """Return the stamp of ``wall_ns``, or of the earliest time that is late enough."""
        self._latest = max(wall_ns, self._latest + RESOLUTION_NS)
        return stamp(self._latest)
