"""``make bench`` measures both engines, prints it and writes it down."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.topology import REPOSITORY, run
from tools import bench


def test_the_tables_show_medians_with_their_extremes() -> None:
    speeds = [bench.Speed("fs", each, 100.0 * each, 50.0, 400.0, 20.0 + each) for each in (1, 2, 3)]
    heads, _, row = bench.show_speeds(speeds).splitlines()
    assert heads.startswith("engine")
    assert "200 (100 to 300)" in row
    assert "22.0 (21.0 to 23.0)" in row


def test_a_single_run_has_no_extremes() -> None:
    shown = bench.show_speeds([bench.Speed("fs", 1, 100.0, 50.0, 400.0, 20.0)])
    assert "(" not in shown.splitlines()[2]


@pytest.mark.netns
def test_a_short_run_measures_both_engines(tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.bench", "--runs", "1", "--seconds", "1"),
            *("--peers", "50", "--json", str(report)),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, ""), output
    found = json.loads(report.read_text())
    assert found["machine"]["cores"]
    for measured in (found["loads"], found["speeds"]):
        assert {each["engine"] for each in measured} == {"fs", "wireguard-go"}
    assert all(each["memory_peak"] >= each["memory_before"] > 0 for each in found["loads"])
    assert all(each["there"] > 0 and each["cpu_seconds_per_gib"] > 0 for each in found["speeds"])
    # The names of its namespaces hold its process id.
    assert f"{process.pid:x}" not in run("ip", "netns", "list")
