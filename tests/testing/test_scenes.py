# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How tests are divided into scenes."""

from pathlib import Path

import pytest

from tools.testing import parts
from tools.testing.scenes import divide, remember, remembered

SOURCE = """
import pytest

@pytest.fixture(scope="module")
def chain(): return 1

@pytest.mark.parametrize("number", range(4))
def test_alone(number): pass

@pytest.mark.parametrize("number", range(3))
def test_of_the_chain(chain, number): pass
"""


def collected(folder: Path) -> list[pytest.Item]:
    (folder / "test_it.py").write_text(SOURCE)
    found: list[pytest.Item] = []

    class Keeping:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            found.extend(session.items)

    options = ["--collect-only", "-q", "--import-mode=importlib", "-c", "/dev/null"]
    pytest.main([*options, "--rootdir", str(folder), str(folder)], plugins=[Keeping()])
    return found


def test_long_tests_are_scenes_of_their_own_and_come_first(tmp_path: Path) -> None:
    items = collected(tmp_path)
    durations = {each.nodeid: 7.0 for each in items if "alone" in each.nodeid}
    scenes = divide(items, durations)
    assert [len(each.items) for each in scenes] == [1, 1, 1, 1, 3]
    assert sorted(each.nodeid for scene in scenes for each in scene.items) == sorted(
        each.nodeid for each in items
    )


def test_tests_that_share_a_fixture_stay_together(tmp_path: Path) -> None:
    items = collected(tmp_path)
    first, *others = divide(items, {each.nodeid: 7.0 for each in items})
    assert ["of_the_chain" in each.nodeid for each in first.items] == [True] * 3
    assert first.seconds == 21.0
    assert [len(each.items) for each in others] == [1] * 4


def test_short_tests_of_a_file_are_one_scene(tmp_path: Path) -> None:
    assert [len(each.items) for each in divide(collected(tmp_path), {})] == [4, 3]


def test_what_took_long_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    assert remembered(path) == {}
    remember(path, {"a": 3.21, "b": 0.1, "c": 2.0})
    remember(path, {"c": 0.2, "d": 1.0})
    assert remembered(path) == {"a": 3.2, "d": 1.0}


def test_each_part_says_what_was_tested() -> None:
    def report(name: str, outcome: str) -> tuple[str, pytest.TestReport]:
        location = (name, None, name)
        return outcome, pytest.TestReport(
            name,
            location,
            {},
            outcome="passed" if outcome == "passed" else "failed",
            longrepr=None,
            when="call",
        )

    told = list(
        parts.lines(
            [
                report("tests/leaks/test_leaks.py::test_a", "passed"),
                report("tests/leaks/test_leaks.py::test_b", "failed"),
                report("tests/proto/test_ip.py::test_c", "passed"),
            ]
        )
    )
    assert [line.split(":")[0] for line in told] == [
        "tunnel        1 passed",
        "leaks         1 passed, 1 failed",
    ]
