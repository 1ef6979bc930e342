# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Fixtures for a conftest whose tests run the program from folders that only root can enter."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.closed.folders import closed


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a log with a line for each process that opened a file after it gave up root."""
    log = tmp_path_factory.mktemp("closed") / "opened"
    log.touch()
    if os.geteuid() != 0:
        yield log
        return
    with closed(log):
        yield log


@pytest.fixture(autouse=True)
def nothing_is_opened_without_root(opened: Path) -> Iterator[None]:
    before = opened.stat().st_size
    yield
    told = opened.read_bytes()[before:].decode()
    assert told == "", f"opened without root:\n{told}"
