# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The folders are closed and the audit hears, or tests that rely on them would tell nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.closed.folders import closed, program

pytestmark = pytest.mark.netns

DAEMON = 1  # a user of Debian's
# As an agent does, and then what one must not do.
SCRIPT = """
import json, os, sys
from pathlib import Path
from fs_wire.unprivileged import become_nobody
if sys.argv[1] == "nobody":
    become_nobody(os.getppid())
found = {}
for what, attempt in {
    "read": lambda: Path(sys.argv[2]).read_bytes(),
    "list": lambda: os.listdir(Path(sys.argv[2]).parent),
    "import": lambda: __import__("wave"),
}.items():
    try:
        attempt()
        found[what] = True
    except (OSError, ImportError):
        found[what] = False
print(json.dumps(found))
"""


def attempt(user: str) -> dict[str, bool]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, user, __file__],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(program()[0])},
    )
    found: dict[str, bool] = json.loads(done.stdout)
    return found


def test_root_reads_the_program_and_nobody_else_does_and_each_attempt_is_told(
    tmp_path: Path,
) -> None:
    log = tmp_path / "opened"
    with closed(log):
        assert attempt("root") == {"read": True, "list": True, "import": True}
        assert log.read_text() == ""
        assert attempt("nobody") == {"read": False, "list": False, "import": False}
    told = log.read_text()
    assert f"open {__file__}" in told
    assert f"os.listdir {Path(__file__).parent}" in told
    assert "import wave" in told


def test_behind_the_block_all_is_as_before(tmp_path: Path) -> None:
    before = [(each, each.stat()) for each in program()]
    mounts = Path("/proc/self/mountinfo").read_text()
    with closed(tmp_path / "opened"):
        assert all(each.stat().st_mode & 0o777 == 0o700 for each in (program()[0], program()[-1]))
    assert [(each, each.stat()) for each in program()] == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
