# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The scene of these tests: all share a chain and its accounts, and each has its own sessions.

All of it runs from folders that only root can enter, as in root's own home.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.closed.folders import closed
from tests.e2e.market import NAME, SOLD, Market, market


@pytest.fixture(scope="module")
def built() -> Iterator[Market]:
    with market() as made:
        yield made


@pytest.fixture
def scene(built: Market) -> Iterator[Market]:
    """Yield the scene with nothing served, and both accounts as at the start."""
    built.begin()
    try:
        yield built
    finally:
        # This also runs if a test failed, because helpers are not our children.
        built.fs_tunnel(built.client, "down", NAME)
        built.fs_tunnel(built.provider, "down", SOLD)


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Who opened something of the program after it gave up root, a line each."""
    log = tmp_path_factory.mktemp("closed") / "opened"
    log.touch()
    if os.geteuid() != 0:
        yield log
        return
    with closed(log):
        yield log


@pytest.fixture(autouse=True)
def _nothing_is_opened_without_root(opened: Path) -> Iterator[None]:
    before = opened.stat().st_size
    yield
    assert opened.read_bytes()[before:].decode() == ""
