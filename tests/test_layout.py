# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How large files and folders may grow: one idea in a file, and few files in a folder."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MOST_LINES = 400
MOST_MODULES = 25
SOURCES = {".c", ".h", ".js", ".mjs", ".py", ".pyi", ".sh", ".sol"}
# Programs without a suffix, like tools/setup, say on their first line what runs them.
INTERPRETER = re.compile(rb"#!.*\b(?:sh|bash|python3?|node)\b")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """All files that git knows, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (REPOSITORY / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def is_source(path: Path) -> bool:
    if path.suffix:
        return path.suffix in SOURCES
    with path.open("rb") as file:
        return INTERPRETER.match(file.readline()) is not None


def test_no_file_is_long(files: list[Path]) -> None:
    sources = [path for path in files if is_source(path)]
    assert len(sources) > 800
    assert REPOSITORY / "tools/setup" in sources
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in sources
        if (lines := path.read_text().count("\n")) > MOST_LINES
    }
    assert long == {}


def test_no_folder_is_crowded(files: list[Path]) -> None:
    modules = Counter(path.parent for path in files if path.suffix == ".py")
    crowds = {
        str(folder.relative_to(REPOSITORY)): count
        for folder, count in modules.items()
        if count > MOST_MODULES
    }
    assert crowds == {}
