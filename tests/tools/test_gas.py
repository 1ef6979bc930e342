# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The gate of gas: what it lets pass, and what it refuses."""

import json
from pathlib import Path

from tools import gas

FITTING = dict.fromkeys(gas.TARGETS, 30_000)


def test_the_same_passes() -> None:
    assert gas.judge(FITTING, FITTING) == []


def test_five_per_cent_pass_and_more_do_not() -> None:
    assert gas.judge({**FITTING, "other": 105}, {**FITTING, "other": 100}) == []
    (complaint,) = gas.judge({**FITTING, "other": 106}, {**FITTING, "other": 100})
    assert complaint == "other costs 106, 5 % over 100; save gas, or run make artefacts"


def test_a_target_holds_whatever_was_committed() -> None:
    measured = {**FITTING, "Channels: open": 60_001}
    (complaint,) = gas.judge(measured, measured)
    assert "over its target of 60,000" in complaint


def test_what_is_not_measured_is_missed() -> None:
    measured = {name: figure for name, figure in FITTING.items() if name != "Channels: finalize"}
    assert len(gas.judge(measured, FITTING)) == 2
    assert len(gas.judge(measured, measured)) == 1


def test_forge_writes_a_file_for_each_group(tmp_path: Path) -> None:
    (tmp_path / "Channels.json").write_text(json.dumps({"open": "59644"}))
    assert gas.read_measured(tmp_path) == {"Channels: open": 59_644}


def test_the_committed_figures_keep_the_targets() -> None:
    committed = json.loads(gas.COMMITTED.read_text())
    assert gas.judge(committed, committed) == []
