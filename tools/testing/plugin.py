# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The pytest plugin: however pytest is started here, scenes are played by a crew, in rooms.

For root, the machine is compared before and after, and a difference is a failure.
"""

import gc
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tools.testing import machine, parts, room
from tools.testing.crew import Crew, Played, cgroups
from tools.testing.scenes import divide, remember, remembered

COMPUTED = "scenes.tsv"  # of the last run: computed, passed, scene
FAILED = "failed.txt"  # of this run, as it goes
DURATIONS = room.REPOSITORY / "tests" / "durations.json"
_PLAYED = pytest.StashKey[list[Played]]()
_TOLD = 20
_EACH_CORE = 5  # scenes at once: most of their time is waiting
# What commands import only when they use it: each forked command would take a sixth of a second.
_LATE = ("pyroute2", "fs_market.chain.abi", "Crypto.Cipher._mode_ctr")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scenes")
    group.addoption(
        "--crew",
        type=int,
        default=_EACH_CORE * (os.cpu_count() or 1),
        metavar="N",
        help="play up to N scenes at once",
    )
    group.addoption(
        "--remember",
        action="store_true",
        help=f"write how long tests took to {DURATIONS.relative_to(room.REPOSITORY)}",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Play all scenes; None leaves it to pytest, which then runs no test."""
    config = session.config
    if session.testsfailed or config.option.collectonly:
        return None
    before = machine.state() if os.geteuid() == 0 else {}
    with cgroups() as cgroup:
        if config.option.usepdb or config.option.trace:
            # A debugger needs this process and its terminal; one room is for all tests then.
            if cgroup is not None:
                room.furnish(cgroup / "debugged")
            return None
        _play(session, cgroup)
    if before:
        _report_changes(session, before)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was tested, part by part."""
    reports = [
        (category, report)
        for category in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(category, [])
    ]
    _tell_of_processors(terminalreporter, terminalreporter.config)
    for line in parts.lines(reports):
        terminalreporter.write_line(line)


def _tell_of_processors(terminal: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which scenes compute most: with two cores, that is what a run's length comes down to."""
    played = config.stash.get(_PLAYED, [])
    _in_build(config, COMPUTED).write_text(
        "".join(f"{each.computed:.2f}\t{each.seconds:.2f}\t{each.scene.name}\n" for each in played)
    )
    total = sum(each.computed for each in played)
    terminal.section(f"{total:.0f} s of processors, the most for")
    for each in sorted(played, key=lambda each: -each.computed)[:_TOLD]:
        terminal.write_line(f"{each.computed:7.1f} s of {each.seconds:7.1f} s  {each.scene.name}")


def _in_build(config: pytest.Config, name: str) -> Path:
    folder = config.rootpath / "build"
    folder.mkdir(exist_ok=True)
    return folder / name


def _play(session: pytest.Session, cgroup: Path | None) -> None:
    scenes = divide(session.items, remembered(DURATIONS))
    for each in _LATE:
        import_module(each)
    # What is there stays shared with all forks: no collector writes to it.
    gc.collect()
    gc.freeze()
    seconds: dict[str, float] = {}
    _in_build(session.config, FAILED).write_text("")
    try:
        with Crew(session.config, session.config.option.crew, cgroup) as crew:
            for played in crew.play(scenes):
                session.config.stash.setdefault(_PLAYED, []).append(played)
                for item in played.scene.items:
                    _report(item, played, seconds)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
    finally:
        if session.config.option.remember:
            remember(DURATIONS, seconds)


def _report(item: pytest.Item, played: Played, seconds: dict[str, float]) -> None:
    """Pass on what was reported of a test, as if it had run here."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item, played):
        if report.failed:
            with _in_build(item.config, FAILED).open("a") as file:
                file.write(f"== {report.nodeid} ({report.when})\n{report.longreprtext}\n")
        seconds[item.nodeid] = seconds.get(item.nodeid, 0.0) + report.duration
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _reports(item: pytest.Item, played: Played) -> Iterator[pytest.TestReport]:
    reports = [each for each in played.reports if each.nodeid == item.nodeid]
    yield from reports
    if not any(each.when == "teardown" for each in reports):
        yield _failure(item, f"its process ended (status {played.status}); last {played.started}")
    if played.left and item is played.scene.items[-1]:
        yield _failure(item, "processes ran on after the scene:\n" + "\n".join(played.left))


def _failure(item: pytest.Item, what: str) -> pytest.TestReport:
    return pytest.TestReport(
        item.nodeid, item.location, {}, outcome="failed", longrepr=what, when="call"
    )


def _report_changes(session: pytest.Session, before: dict[str, str]) -> None:
    changes = machine.changes(before)
    if changes:
        name = "the machine, before and after"
        session.config.hook.pytest_runtest_logreport(
            report=pytest.TestReport(
                name,
                (name, None, name),
                {},
                outcome="failed",
                longrepr="the tests changed the machine:\n" + "\n".join(changes),
                when="call",
            )
        )
