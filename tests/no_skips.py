# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A pytest plugin: as root, a skipped test is a failure of the session.

Skips are for users without root or without a kernel feature. If everything can run, a skip is a
test that quietly stopped testing.
"""

import os

import pytest

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a skipped test; an expected failure is not one."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a module skipped as a whole."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a session that would have passed into a failed one."""
    if _skipped and os.geteuid() == 0 and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why, above pytest's last line."""
    if _skipped and os.geteuid() == 0:
        terminalreporter.section("skipped as root, which is not allowed here", red=True)
        for each in _skipped:
            terminalreporter.line(each)
