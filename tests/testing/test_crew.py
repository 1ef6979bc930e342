# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the crew reports of scenes that do not end as they should: pytest, run once more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.testing.room import REPOSITORY

pytestmark = pytest.mark.netns

GOOD = "def test_good(): pass\n"


def play(folder: Path, source: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tools.testing.plugin"),
            *("-p", "no:cacheprovider", "-W", "ignore", "--rootdir", str(folder)),
            *("-c", os.devnull, str(folder)),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_what_passes_and_fails_is_told_as_ever(tmp_path: Path) -> None:
    source = GOOD + "def test_bad():\n    print('said before')\n    assert 1 == 2\n"
    status, said = play(tmp_path, source)
    assert status == 1
    assert "assert 1 == 2" in said and "said before" in said
    assert said.splitlines()[-1].startswith("1 failed, 1 passed in ")


def test_a_process_that_is_left_running_is_a_failure(tmp_path: Path) -> None:
    leave = "import subprocess\ndef test_leaves(): subprocess.Popen(['sleep', '1000'])\n"
    settings = "import tools.testing.keeper as k\nk._FOR_LEFTOVERS = 0.1\n"
    status, said = play(tmp_path, settings + leave)
    assert status == 1
    assert "processes ran on after the scene:\nsleep 1000" in said


def test_a_process_that_dies_fails_its_test_and_those_after_it(tmp_path: Path) -> None:
    source = GOOD + "import os\ndef test_dies(): os._exit(3)\ndef test_later(): pass\n"
    status, said = play(tmp_path, source)
    assert status == 1
    assert "last test_it.py::test_dies" in said
    assert said.splitlines()[-1].startswith("2 failed, 1 passed in ")


def test_what_one_scene_changes_no_other_sees(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"test_scene{number}.py").write_text(
            "import os, socket, sys, pathlib\n"
            "def test_changes():\n"
            "    file = pathlib.Path('/etc/resolv.conf')\n"
            "    assert file.read_text() == 'nameserver 192.0.2.53\\n'\n"
            "    file.write_text('nothing')\n"
            "    assert os.system('ip link add here type bridge') == 0\n"
            "    assert socket.create_server(('127.0.0.1', 4700))\n"
            "    assert not hasattr(sys, 'seen')\n"
            "    sys.seen = True\n"
        )
    status, said = play(tmp_path, GOOD)
    assert status == 0, said
    assert said.splitlines()[-1].startswith("3 passed in ")
