# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The matching providers, as they are kept for later."""

import stat
from pathlib import Path

import pytest

from fs_tunnel.roles.client import choices
from fs_tunnel.roles.market_files import MarketFiles
from fs_wire.errors import SystemChangeError
from tests.net.world import Provider


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MarketFiles:
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(tmp_path))
    (tmp_path / "market").mkdir()
    return MarketFiles("choices")


def test_what_was_written_is_read_in_its_order(files: MarketFiles) -> None:
    records = [Provider(number).record() for number in (3, 1, 2)]
    assert choices.read(files) == choices.Choices(())
    choices.write(files, records)
    assert choices.read(files) == choices.Choices(tuple(records))
    assert choices.read(files).in_order == tuple(records)
    choices.write(files, records, records[1])
    found = choices.read(files)
    assert found.chosen == 1
    assert found.in_order == (records[1], records[0], records[2])
    assert stat.S_IMODE(files.choices.stat().st_mode) == 0o600
    files.forget_keys()
    assert choices.read(files) == choices.Choices(())


def test_the_chosen_one_is_kept_wherever_it_stood(files: MarketFiles) -> None:
    records = [Provider(number).record() for number in range(1, 101)]
    choices.write(files, records, records[99])
    found = choices.read(files)
    assert len(found.records) == 33
    assert found.chosen is not None and found.records[found.chosen] == records[99]


def test_who_is_out_of_reach_is_kept_too(files: MarketFiles) -> None:
    records = [Provider(number).record() for number in range(1, 41)]
    choices.write(files, records[:3], passed_over=records[1:2])
    found = choices.read(files)
    assert (found.chosen, found.passed_over) == (None, (records[1],))
    assert found.in_order == tuple(records[:3])
    choices.write(files, records, records[2], [records[39], records[0]])
    found = choices.read(files)
    assert found.passed_over == (records[39], records[0])
    assert found.in_order[0] == records[2] and len(found.records) == 33


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"records": ["00"], "chosen": null}'])
def test_a_damaged_file_is_named(files: MarketFiles, content: str) -> None:
    files.choices.write_text(content)
    with pytest.raises(SystemChangeError, match="remove it"):
        choices.read(files)
