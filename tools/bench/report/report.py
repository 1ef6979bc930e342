# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The results for people: tables, verdicts, and the document with all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tools.bench.figures import FIGURES, TABLES, Reading, median, values
from tools.bench.report import misses, plot
from tools.bench.report.targets import Verdict, judge
from tools.bench.scenes import MEANINGS
from tools.terminal import table

PLOTTED = ("there", "back", "four", "small", "round_trip", "round_trip_p99", "cpu")
_PREFACE = """\
`make bench BENCH_ARGS=--write-docs` wrote this page after one run on one machine. The programs took
turns. The tables show medians, with the extremes of the runs in brackets. Compare figures only
within this page: other machines give other figures, but similar ratios."""
_TARGETS = """\
A target compares FlowShield with another program, or with a fixed figure. If it does not reach a
`must`, the result is FAIL; an `aim` is a wish beyond that. This page shows missed targets, too."""
_PROGRAMS = """\
`flowshield` is the packet path in C, and `flowshield-python` is the packet path in Python. `veth`
is the wire without a tunnel. The others are the distribution's packages with their defaults.
OpenVPN uses AES-256-GCM over UDP, without its kernel module."""


@dataclass(frozen=True)
class Report:
    """One run of the bench: the machine, its options, and all readings."""

    machine: Mapping[str, str]
    settings: Mapping[str, str]
    readings: Sequence[Reading]
    problems: Sequence[str] = ()

    @property
    def scenes(self) -> list[str]:
        return list(dict.fromkeys(each.scene for each in self.readings))


Grid = tuple[Sequence[str], list[Sequence[str]]]


def grids(report: Report) -> Iterable[tuple[str, Grid]]:
    """Yield titled tables: a line for each program, medians with the extremes behind them."""
    for title, figures in TABLES.items():
        for scene in report.scenes:
            grid = _grid(report.readings, scene, figures)
            if grid[1]:
                mode = f" (offload {scene}: {MEANINGS[scene]})" if len(report.scenes) > 1 else ""
                yield title + mode, grid


def verdicts(report: Report) -> Grid:
    """Return the targets as a table."""
    judged = judge(report.readings, report.scenes)
    return (
        ("target", "offload", "must", "aim", "measured", "result"),
        [_verdict_row(each) for each in judged],
    )


def show(report: Report) -> str:
    """Return all tables as plain text."""
    parts = [f"{title}\n{table(*grid)}" for title, grid in grids(report)]
    parts.append(f"Targets\n{table(*verdicts(report))}")
    parts.extend(f"not measured: {each}" for each in report.problems)
    return "\n\n".join(parts)


def document(report: Report, picture: str) -> str:
    """Return docs/benchmarks.md; ``picture`` is the name of the plot beside it."""
    measured = {each.figure for each in report.readings}
    parts = [
        "# Benchmarks",
        _PREFACE,
        "\n".join(f"- {what}: {value}" for what, value in report.machine.items()),
        "\n".join(f"- {what}: {value}" for what, value in report.settings.items()),
        _PROGRAMS,
        f"![Medians as bars]({picture})",
        "## Targets",
        _TARGETS,
        _markdown(verdicts(report)),
        *_missed(report),
    ]
    for title, grid in grids(report):
        parts += [f"## {title}", _markdown(grid)]
    parts += [
        "## What the figures mean",
        "\n".join(
            f"- **{figure.head}**: {figure.meaning}."
            for name, figure in FIGURES.items()
            if name in measured
        ),
    ]
    if report.problems:
        parts += ["## Not measured", "\n".join(f"- {each}" for each in report.problems)]
    return "\n\n".join(parts) + "\n"


def picture(report: Report) -> str:
    """Draw the medians of the first offload mode as bars, in SVG."""
    scene = report.scenes[0] if report.scenes else ""
    charts = []
    for name in PLOTTED:
        found = [(peer, median(report.readings, scene, peer, name)) for peer in _peers(report)]
        bars = [plot.Bar(peer, value) for peer, value in found if value is not None]
        if bars:
            charts.append(plot.Chart(FIGURES[name].head, bars, FIGURES[name].digits))
    return plot.draw(charts)


def _missed(report: Report) -> list[str]:
    found = list(misses.explain(judge(report.readings, report.scenes), report.readings))
    return ["What was missed:", "\n".join(f"- {each}" for each in found)] if found else []


def _peers(report: Report) -> list[str]:
    return list(dict.fromkeys(each.peer for each in report.readings))


def _grid(readings: Sequence[Reading], scene: str, figures: Sequence[str]) -> Grid:
    here = [each for each in readings if each.scene == scene and each.figure in figures]
    shown = [name for name in figures if any(each.figure == name for each in here)]
    rows = [
        (peer, *(_spread(values(here, scene, peer, name), FIGURES[name].digits) for name in shown))
        for peer in dict.fromkeys(each.peer for each in here)
    ]
    return ("program", *(FIGURES[name].head for name in shown)), list(rows)


def _spread(found: Sequence[float], digits: int) -> str:
    if not found:
        return "-"
    ordered = sorted(found)
    middle = len(ordered) // 2
    center = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    if len(ordered) == 1:
        return f"{center:.{digits}f}"
    return f"{center:.{digits}f} ({ordered[0]:.{digits}f} to {ordered[-1]:.{digits}f})"


def _verdict_row(verdict: Verdict) -> Sequence[str]:
    target = verdict.target
    sign = ">=" if target.at_least else "<="
    return (
        target.what,
        verdict.scene if target.per_scene else "",
        "-" if target.must is None else f"{sign} {target.must:.4g}",
        "-" if target.aim is None else f"{sign} {target.aim:.3g}",
        "-" if verdict.value is None else f"{verdict.value:.4g}",
        verdict.result,
    )


def _markdown(grid: Grid) -> str:
    heads, rows = grid
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
