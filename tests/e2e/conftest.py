# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The scene of these tests: all share a chain and its accounts, and each has its own sessions."""

from collections.abc import Iterator

import pytest

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
