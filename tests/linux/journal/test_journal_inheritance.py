# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tunnels inherit changes from each other, and the last one restores what was before them."""

from pathlib import Path

import pytest

from fs_tunnel.linux.journal import kinds
from fs_tunnel.linux.journal.journal import Journal, original
from tests.linux.journal.played import (
    Host,
    Setting,
    Thing,
    begun,
)

pytestmark = pytest.mark.usefixtures("folder")

# Replacing.


def test_what_the_plan_does_not_name_is_dropped() -> None:
    journal = begun("alice", Thing("a"), Thing("b"), Thing("c"))
    journal.drop_others([Thing("b"), Thing("d")])
    assert Host.log[3:] == ["-c", "-a"]
    assert Journal("alice").changes == [Thing("b")]


def test_what_is_in_force_is_made_sure_of() -> None:
    journal = begun("alice", Thing("a"))
    assert not journal.ensure(Thing("a"))
    assert journal.ensure(Thing("b"))
    assert Host.log == ["+a", "+a", "+b"]
    assert Journal("alice").changes == [Thing("a"), Thing("b")]


def test_another_value_in_its_place_remembers_what_was_before_both() -> None:
    journal = begun("alice", Setting("mode", "first"), Thing("a"))
    journal.ensure(Setting("mode", "second"))
    assert Host.settings == {"mode": "second"}
    assert Journal("alice").changes == [Setting("mode", "second", "old"), Thing("a")]
    Journal("alice").take_all_back()
    assert Host.settings == {"mode": "old"}


@pytest.mark.parametrize("value", ["first", "second"])
def test_a_crash_while_a_value_is_replaced_is_undone(folder: Path, value: str) -> None:
    """Whether the host has the one or the other."""
    begun("alice", Setting("mode", "first"))
    with (folder / "alice.journal").open("a") as stream:
        stream.write(kinds.to_json(Setting("mode", "second", "old")) + "\n")
    Host.settings["mode"] = value
    Journal("alice").take_all_back()
    assert Host.settings == {"mode": "old"}


# Several tunnels.


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
@pytest.mark.parametrize("values", [("same", "same", "same"), ("one", "two", "three")])
def test_the_last_of_three_tunnels_restores_what_was_before_all(
    order: str, values: tuple[str, str, str]
) -> None:
    for name, value in zip("abc", values, strict=True):
        begun(name, Setting("mode", value))
    left = list("abc")
    for name in order:
        assert Host.settings["mode"] == values["abc".index(left[-1])]
        Journal(name).take_all_back()
        left.remove(name)
        assert original(("Setting", "mode")) == ("old" if left else None)
    assert Host.settings == {"mode": "old"}


def test_a_crash_after_an_inheritance_does_not_restore_under_the_heir() -> None:
    begun("alice", Setting("mode", "ours"))
    begun("bob", Setting("mode", "ours"))
    (change,) = Journal("alice").changes
    bob = Journal("bob")
    bob.changes = [Setting("mode", "ours", "old")]  # has inherited already
    bob.settle()
    Journal("alice").take_all_back()
    assert Host.settings == {"mode": "ours"}
    Journal("bob").take_all_back()
    assert Host.settings == {"mode": "old"}
    assert change == Setting("mode", "ours", "old")


def test_an_open_journal_learns_what_it_inherits() -> None:
    alice = begun("alice", Setting("mode", "one"))
    bob = begun("bob", Setting("mode", "two"))
    alice.take_all_back()
    bob.ensure(Thing("b"))
    bob.take_all_back()
    assert Host.settings == {"mode": "old"}


def test_the_lower_of_two_does_not_overrule_the_upper() -> None:
    alice = begun("alice", Setting("mode", "one"))
    begun("bob", Setting("mode", "two"))
    alice.ensure(Setting("mode", "one"))
    assert Host.settings == {"mode": "two"}
    alice.ensure(Setting("mode", "one again"))
    assert Host.settings == {"mode": "two"}
    Journal("bob").take_all_back()
    assert Host.settings == {"mode": "one again"}
    alice.take_all_back()
    assert Host.settings == {"mode": "old"}
