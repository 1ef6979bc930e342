# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Standbys and moves: what is written down can be read again."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from fs_tunnel.linux.firewall.kill_switch import Inbound
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles.client import standbys
from fs_tunnel.roles.client.places import parse_place_untrusted
from fs_tunnel.roles.client.standbys import Move, StandBy, Standbys
from fs_tunnel.roles.starts import OrderStart
from fs_wire.errors import SystemChangeError
from tests.roles.client.dealings import DEALING
from tests.roles.client.test_places import TOLD

START = OrderStart(dealing=DEALING)
BOB = StandBy("bob:4700", "192.0.2.2", 4700, START)
CAROL = StandBy("[2001:db8::3]:4700", "2001:db8::3", 4700, START)
PROTECTION = Protection(
    kill_switch=True,
    allow_lan=True,
    excluded=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
    only=(ip_network("10.66.0.0/24"),),
    inbound=(Inbound(ip_network("198.51.100.0/24"), 22),),
)
AT_ALICE = Standbys("alice:4700", PROTECTION, (BOB, CAROL))
PLACE = parse_place_untrusted(TOLD)


def written(tmp_path: Path, value: Standbys) -> Standbys | None:
    file = tmp_path / "paid.standbys"
    standbys.write(file, value)
    assert file.stat().st_mode & 0o077 == 0
    return standbys.read(file)


def test_every_step_of_a_move_is_read_as_it_was_written(tmp_path: Path) -> None:
    decided = AT_ALICE.decided(BOB, PLACE, 1_700_000_000, "the provider is silent")
    for each in (AT_ALICE, AT_ALICE.refused(BOB, "it is full"), decided, decided.moved()):
        assert written(tmp_path, each) == each
    assert decided.protection == PROTECTION


def test_who_gave_a_place_stands_by_no_more() -> None:
    decided = AT_ALICE.decided(BOB, PLACE, 7, "the provider is silent")
    assert decided.current == "alice:4700"
    assert decided.ready == [CAROL]
    moved = decided.moved()
    assert moved.intention is None
    assert moved.current == "bob:4700"
    assert moved.moves == (Move(7, "alice:4700", "bob:4700", "the provider is silent"),)


def test_who_refused_is_not_asked_again() -> None:
    refused = AT_ALICE.refused(BOB, "it is full")
    assert refused.ready == [CAROL]
    assert [each.refusal for each in refused.waiting] == ["it is full", None]


def test_no_file_is_nobody(tmp_path: Path) -> None:
    assert standbys.read(tmp_path / "none") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"current": 1}', "\x00"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "paid.standbys"
    file.write_text(content)
    with pytest.raises(SystemChangeError, match="remove it"):
        standbys.read(file)
