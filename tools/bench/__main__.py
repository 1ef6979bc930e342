# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line of the bench: which measurements, in which order, and where results go."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from fs_wire.errors import FlowShieldError
from tests.netns.topology import REPOSITORY
from tools.bench import machine, peers, scenes
from tools.bench.figures import FIGURES, Reading
from tools.bench.report import report
from tools.bench.sections import SECTIONS, Measurement, Settings, plan
from tools.bench.traffic import small

DEFAULT_REPORT = Path("build/bench.json")
DOCUMENT = REPOSITORY / "docs/benchmarks.md"
_EXPECTED = (AssertionError, OSError, ValueError, subprocess.SubprocessError, FlowShieldError)
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write. Return 0, or 1 after a failure, 4 without root, 130 on Ctrl-C."""
    options = _parse(argv)
    if options.show is not None:
        done = load(options.show)
        print(report.show(done))
        write(done, options.show, docs=options.write_docs)
        return 0
    if os.geteuid() != 0:
        print("bench: error: network namespaces need root; run: sudo make bench", file=sys.stderr)
        return 4
    for ending in _ENDINGS:
        signal.signal(ending, _interrupt)
    settings = _settings(options)
    readings: list[Reading] = []
    problems = leave_out_what_lacks(settings)
    done = report.Report(machine.describe(), settings.described(), readings, problems)
    for what, value in {**done.machine, **done.settings}.items():
        print(f"{what}: {value}")
    print("".join(f"left out: {each}\n" for each in problems), flush=True)
    left_out = len(problems)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            if {"speed", "guards"} & set(settings.sections):
                settings.program = small.build(Path(folder))
            blocks = plan(settings)
            for number, block in enumerate(blocks, 1):
                print(f"[{number}/{len(blocks)}] {block}", flush=True)
                take(block, readings, problems)
                write(done, options.json, docs=False)
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    except (AssertionError, OSError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    print(f"\n{report.show(done)}\n")
    for path in write(done, options.json, docs=options.write_docs):
        print(f"written: {path}")
    return 1 if len(problems) > left_out else 0


def take(block: Measurement, readings: list[Reading], problems: list[str]) -> None:
    """Add the figures of a block; a failure is noted as a problem and does not stop the others."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            closing(block.measure(Path(folder))) as sample,
        ):
            for name, value in sample:
                readings.append(Reading(block.scene, block.peer, name, block.run, value))
                print(f"    {FIGURES[name].head}: {value:.{FIGURES[name].digits}f}", flush=True)
    except _EXPECTED as error:
        problems.append(f"{block}: {error}")
        print(f"bench: error: {problems[-1]}", file=sys.stderr)


def write(done: report.Report, to: Path, *, docs: bool) -> list[Path]:
    """Write the readings and a picture; with ``docs`` also the document and its picture."""
    files = {
        to: json.dumps(
            {
                "machine": done.machine,
                "settings": done.settings,
                "problems": done.problems,
                "readings": [asdict(each) for each in done.readings],
            },
            indent=1,
        )
        + "\n",
        to.with_suffix(".svg"): report.picture(done),
    }
    if docs:
        drawn = DOCUMENT.with_suffix(".svg")
        files |= {DOCUMENT: report.document(done, drawn.name), drawn: report.picture(done)}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(files)


def load(path: Path) -> report.Report:
    """Load the results of an earlier run."""
    found = json.loads(path.read_text())
    readings = [Reading(**each) for each in found["readings"]]
    return report.Report(found["machine"], found["settings"], readings, found["problems"])


def leave_out_what_lacks(settings: Settings) -> list[str]:
    """Keep the programs that can run here; return why the others cannot."""
    lacking = {each.name: each.missing() for each in settings.peers if each.missing()}
    settings.peers = [each for each in settings.peers if each.name not in lacking]
    return [f"{name}: {why}" for name, why in lacking.items()]


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        peers=[each for each in peers.ALL if each.name in options.peers],
        sections=options.only,
        offloads=options.offload,
        runs=options.runs,
        seconds=options.seconds,
        pings=options.pings,
        idle_peers=options.idle_peers,
        clients=options.clients,
        initiations=options.initiations,
        minutes=options.minutes,
        vouchers=options.vouchers,
        sessions=options.sessions,
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure tunnels side by side.")
    parser.add_argument(
        "--quick", action="store_true", help="one run, 2 s a transfer, less of the rest"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each measurement (3)")
    parser.add_argument("--seconds", type=int, default=6, help="seconds of each transfer (6)")
    parser.add_argument(
        "--peers", nargs="+", choices=peers.NAMES, default=peers.NAMES, metavar="NAME",
        help=f"programs to measure ({' '.join(peers.NAMES)})",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION",
        help=f"measurements to make ({' '.join(SECTIONS)})",
    )  # fmt: skip
    parser.add_argument(
        "--offload", nargs="+", choices=list(scenes.OFFLOADS), default=["on"],
        help="offloads of the wire for speed: on as created; gro like real network cards (on)",
    )  # fmt: skip
    parser.add_argument(
        "--pings", type=int, default=2000, help="pings of each round trip figure (2000)"
    )
    parser.add_argument(
        "--idle-peers", type=int, default=10000, help="idle peers in load and idle (10000)"
    )
    parser.add_argument("--clients", type=int, default=50, help="active clients in fairness (50)")
    parser.add_argument(
        "--initiations", type=int, default=8000, help="handshakes to measure (8000)"
    )
    parser.add_argument("--minutes", type=float, default=10, help="minutes of growth (10)")
    parser.add_argument("--sessions", type=int, default=600, help="sessions of one agent (600)")
    parser.add_argument("--vouchers", type=int, default=20000, help="vouchers to measure (20000)")
    parser.add_argument(
        "--json", type=Path, default=DEFAULT_REPORT, help=f"file of results ({DEFAULT_REPORT})"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/benchmarks.md and .svg"
    )
    parser.add_argument("--show", type=Path, help="measure nothing; show these results")
    options = parser.parse_args(argv)
    if options.quick:
        parser.set_defaults(
            runs=1, seconds=2, pings=400, initiations=2000, minutes=0.2, vouchers=4000
        )
        options = parser.parse_args(argv)
    return options


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # From here on everything is removed, and a second Ctrl-C must not interrupt that.
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
