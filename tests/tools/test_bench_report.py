# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What `make bench` makes of its readings: targets, tables, the document and the picture."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.tools.readings import readings, results
from tools.bench import __main__
from tools.bench.report import misses, plot, report, targets

# Targets.


def test_targets_are_ratios_of_medians() -> None:
    found = [
        *readings("flowshield", "there", 1, 4200, 9999),
        *readings("wireguard-go", "there", 380),
        *readings("veth", "there", 20_000),
        *readings("flowshield", "cpu", 3.2),
        *readings("wireguard-go", "cpu", 33),
    ]
    judged = results(found)
    assert judged["TCP there, to wireguard-go"] == "PASS, aim missed"  # 11.05
    assert judged["TCP there, to the bare veth"] == "PASS, aim missed"  # 0.21
    assert judged["CPU per GiB, to wireguard-go"] == "PASS, aim missed"
    assert judged["TCP back, to wireguard-go"] == "-"


@pytest.mark.parametrize(("rtt", "expected"), [(100, "PASS"), (200, "PASS"), (201, "FAIL")])
def test_a_target_may_be_an_upper_bound(rtt: float, expected: str) -> None:
    found = readings("flowshield", "round_trip", rtt) + readings("wireguard-go", "round_trip", 400)
    assert results(found)["round trip, median, to wireguard-go"] == expected


def test_a_bare_aim_neither_passes_nor_fails() -> None:
    found = readings("flowshield", "small", 170) + readings("veth", "small", 200)
    assert results(found)["small packets, to the bare veth"] == "aim met"


def test_each_offload_mode_is_judged() -> None:
    found = [
        *readings("flowshield", "there", 100),
        *readings("flowshield", "four", 100),
        *readings("flowshield", "there", 100, scene="gro"),
        *readings("flowshield", "four", 90, scene="gro"),
    ]
    judged = [
        (each.scene, each.result)
        for each in targets.judge(found, ["on", "gro"])
        if each.target.figure == "four"
    ]
    assert judged == [("on", "PASS"), ("gro", "FAIL")]


# The report.


def made_up() -> report.Report:
    found = [
        *readings("veth", "there", 20_000),
        *readings("flowshield", "there", 100, 300, 200),
        *readings("flowshield", "cpu", 2.5, 2.25),
        *readings("flowshield", "there", 50, scene="gro"),
    ]
    return report.Report({"cores": "2"}, {"runs": "3"}, found, ["nebula: install nebula"])


def test_the_tables_show_medians_with_their_extremes() -> None:
    shown = report.show(made_up())
    assert "200 (100 to 300)" in shown
    assert "2.38 (2.25 to 2.50)" in shown
    assert "not measured: nebula: install nebula" in shown
    bare = next(line for line in shown.splitlines() if line.startswith("veth"))
    assert bare.split() == ["veth", "20000", "-"]  # a single run has no extremes


def test_the_document_has_machine_targets_tables_and_meanings() -> None:
    written = report.document(made_up(), "benchmarks.svg")
    for part in (
        "- cores: 2",
        "](benchmarks.svg)",
        "| TCP there, to the bare veth | on | >= 0.2 | >= 0.25 | 0.01 | FAIL |",
        "- TCP there, to the bare veth: it must be at least 0.2, and is 0.01.",
        "| flowshield | 200 (100 to 300) | 2.38 (2.25 to 2.50) |",
        "- **TCP there, Mbit/s**: one iperf3 stream",
        "- nebula: install nebula",
    ):
        assert part in written
    assert "handshakes" not in written.partition("## What the figures mean")[2]


def test_a_target_beyond_the_wire_is_told() -> None:
    found = [
        *readings("veth", "small", 213.4),
        *readings("wireguard-go", "small", 66),
        *readings("flowshield", "small", 244.3),
    ]
    (said,) = misses.explain(targets.judge(found, ["on"]), found)
    assert said == (
        "small packets, to wireguard-go: it aims to be at least 6, and is 3.702. That would be "
        "396 kpps, more than the 213 kpps that this machine carried without any tunnel."
    )


def test_the_picture_is_svg_with_bars_to_scale() -> None:
    bars = [plot.Bar("flowshield", 50), plot.Bar("<veth>", 100), plot.Bar("none", 0)]
    drawn = ElementTree.fromstring(plot.draw([plot.Chart("TCP & more", bars)]))  # noqa: S314
    svg = "{http://www.w3.org/2000/svg}"
    widths = [float(each.attrib["width"]) for each in drawn.iter(f"{svg}rect")]
    assert widths[0] == pytest.approx(widths[1] / 2, abs=0.1)
    assert {"<veth>", "TCP & more"} <= {each.text for each in drawn.iter(f"{svg}text")}


def test_what_is_written_can_be_shown_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    __main__.write(made_up(), path, docs=False)
    assert __main__.load(path) == made_up()
    assert __main__.main(["--show", str(path)]) == 0
    assert report.show(made_up()) in capsys.readouterr().out


def test_only_root_may_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert __main__.main([]) == 4
    assert "need root" in capsys.readouterr().err
