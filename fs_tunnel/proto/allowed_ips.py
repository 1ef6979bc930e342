# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Cryptokey routing: which peer owns an address (WireGuard paper, section 2).

There is a dict for each prefix length; a look-up tries them from the longest to the shortest.  Real
tables hold few different lengths.  So a look-up takes a handful of dict accesses, however many
peers there are.
"""

from typing import Generic, TypeVar

from fs_wire.types import IPNetwork

V = TypeVar("V")


class _Family(Generic[V]):
    """The table of one address family."""

    __slots__ = ("bits", "lengths", "_tables")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._tables: dict[int, dict[int, V]] = {}
        # A look-up walks these: (bits to shift an address by, table), the longest prefix first.
        self.lengths: list[tuple[int, dict[int, V]]] = []

    def insert(self, prefix: int, length: int, value: V) -> V | None:
        """Set the value of a prefix, which is given as its leading bits; return the one before."""
        table = self._tables.get(length)
        if table is None:
            table = self._tables[length] = {}
            self._rebuild()
        before = table.get(prefix)
        table[prefix] = value
        return before

    def get(self, prefix: int, length: int) -> V | None:
        return self._tables.get(length, {}).get(prefix)

    def remove(self, prefix: int, length: int) -> None:
        table = self._tables[length]
        del table[prefix]
        if not table:
            del self._tables[length]
            self._rebuild()

    def _rebuild(self) -> None:
        self.lengths = [
            (self.bits - length, self._tables[length]) for length in sorted(self._tables)[::-1]
        ]


class AllowedIPs(Generic[V]):
    """Networks and their owners; each network has one owner at a time."""

    __slots__ = ("_v4", "_v6", "_owned")

    def __init__(self) -> None:
        self._v4: _Family[V] = _Family(32)
        self._v6: _Family[V] = _Family(128)
        self._owned: dict[V, dict[IPNetwork, None]] = {}  # in the order of insertion

    def insert(self, network: IPNetwork, value: V) -> None:
        """Give ``network`` to ``value``, and take it from the owner before."""
        family, prefix = self._place(network)
        before = family.insert(prefix, network.prefixlen, value)
        if before is not None and before != value:
            del self._owned[before][network]
        self._owned.setdefault(value, {})[network] = None

    def remove(self, network: IPNetwork, value: V) -> bool:
        """Take ``network`` from ``value``.

        Return False, and change nothing, if it does not belong to ``value``.
        """
        family, prefix = self._place(network)
        if family.get(prefix, network.prefixlen) != value:
            return False
        family.remove(prefix, network.prefixlen)
        del self._owned[value][network]
        return True

    def discard(self, network: IPNetwork) -> None:
        """Take ``network`` from its owner, if it has one."""
        family, prefix = self._place(network)
        owner = family.get(prefix, network.prefixlen)
        if owner is not None:
            self.remove(network, owner)

    def remove_value(self, value: V) -> None:
        """Take everything from ``value``."""
        for network in self._owned.pop(value, {}):
            family, prefix = self._place(network)
            family.remove(prefix, network.prefixlen)

    def lookup(self, address: bytes) -> V | None:
        """Return the owner of the longest network that holds a packed address, 4 or 16 bytes.

        Return None if no network holds it.
        """
        number = int.from_bytes(address, "big")
        for shift, table in (self._v4 if len(address) == 4 else self._v6).lengths:
            value = table.get(number >> shift)
            if value is not None:
                return value
        return None

    def networks_of(self, value: V) -> list[IPNetwork]:
        """Return the networks of ``value``, in the order in which it got them."""
        return list(self._owned.get(value, ()))

    def _place(self, network: IPNetwork) -> tuple[_Family[V], int]:
        family = self._v4 if network.version == 4 else self._v6
        return family, int(network.network_address) >> (family.bits - network.prefixlen)
