# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Indices are unique while they are in use."""

from fs_tunnel.proto.indices import IndexTable


def test_an_index_in_use_is_not_given_again() -> None:
    rolls = iter([b"\1\0\0\0", b"\1\0\0\0", b"\2\0\0\0", b"\1\0\0\0"])
    table: IndexTable[str] = IndexTable(lambda _: next(rolls))
    assert table.allocate("one") == 1
    assert table.allocate("two") == 2
    table.free(1)
    assert table.allocate("three") == 1
    table.assign(2, "four")
    assert (table.get(1), table.get(2), table.get(3)) == ("three", "four", None)
    table.free(2)
    table.free(2)
    assert len(table) == 1
