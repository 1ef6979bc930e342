# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The plugin against skips: as root, a skip fails the session; else it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PASSING = "def test_it(): pass\n"
SKIPPED = "import pytest\ndef test_it(): pytest.skip('no reason')\n"
SKIPPED_WHOLE = "import pytest\npytest.skip('no reason', allow_module_level=True)\n"
EXPECTED_TO_FAIL = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"


@pytest.mark.parametrize(
    ("source", "is_refused"),
    [(PASSING, False), (SKIPPED, True), (EXPECTED_TO_FAIL, False)],
)
def test_a_skip_is_refused_as_root(tmp_path: Path, source: str, is_refused: bool) -> None:
    status, output = run_pytest(tmp_path, source + PASSING.replace("it", "other"))
    assert status == (1 if is_refused and os.geteuid() == 0 else 0), output
    assert output.splitlines()[-1].startswith("1 ") or " passed" in output.splitlines()[-1]


def test_a_module_skipped_as_a_whole_is_refused_as_root(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(PASSING)
    status, output = run_pytest(tmp_path, SKIPPED_WHOLE)
    assert status == (1 if os.geteuid() == 0 else 0), output


def run_pytest(folder: Path, source: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.no_skips"),
            *("-p", "no:cacheprovider", "--rootdir", str(folder), "-c", os.devnull, str(folder)),
        ],
        cwd=REPOSITORY,
        env={key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
