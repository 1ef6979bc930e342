"""How ``make test`` divides the tests."""

import subprocess
from pathlib import Path

import pytest

from tools.tests import COMPUTING, OWN_DIRECTORIES, WATCHING, apart


def test_the_groups_are_folders_that_are_there() -> None:
    assert all(Path(each).is_dir() for each in (*COMPUTING, *WATCHING))
    assert not set(COMPUTING) & set(WATCHING)


@pytest.mark.netns
def test_a_group_has_run_directories_of_its_own() -> None:
    mark = "left-by-a-test-of-the-tests"
    script = f'for each in "$@"; do ls -A "$each"; touch "$each/{mark}"; done; exit 7'
    done = subprocess.run(
        apart(["sh", "-c", script, "sh", *OWN_DIRECTORIES]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
    assert not any(Path(each, mark).exists() for each in OWN_DIRECTORIES)
