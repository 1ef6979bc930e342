# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How large files and folders of the packages may grow: one idea a file, a folder seen at once."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MOST_LINES = 400
MOST_MODULES = 25
SOURCES = {".c", ".h", ".js", ".py", ".pyi", ".sh", ".sol"}
PACKAGES = ("contracts", "fs_market", "fs_net", "fs_tunnel", "fs_wire")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """All files of the packages that git knows, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := REPOSITORY / line).is_file()]


def test_no_file_is_long(files: list[Path]) -> None:
    sources = [path for path in files if path.suffix in SOURCES]
    assert len(sources) > 300
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in sources
        if (lines := path.read_text().count("\n")) > MOST_LINES
    }
    assert long == {}


def test_no_folder_is_crowded(files: list[Path]) -> None:
    modules = [path for path in files if path.suffix == ".py"]
    crowds = {
        str(folder.relative_to(REPOSITORY)): count
        for folder in {path.parent for path in modules}
        if (count := sum(path.parent == folder for path in modules)) > MOST_MODULES
    }
    assert crowds == {}
