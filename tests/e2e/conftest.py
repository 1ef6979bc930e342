"""The scene of these tests: a chain and its accounts for all, sessions for each."""

from collections.abc import Iterator

import pytest

from tests.e2e.market import NAME, SOLD, Market, market


@pytest.fixture(scope="module")
def built() -> Iterator[Market]:
    with market() as made:
        yield made


@pytest.fixture
def scene(built: Market) -> Iterator[Market]:
    """Nothing is served yet, and both accounts begin anew."""
    built.begin()
    try:
        yield built
    finally:
        # Also where a test failed: helpers are nobody's children.
        built.fs_tunnel(built.client, "down", NAME)
        built.fs_tunnel(built.provider, "down", SOLD)
