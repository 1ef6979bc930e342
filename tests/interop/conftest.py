"""The engine under test, and what a test of it needs.

``FS_TEST_ENGINE=wireguard-go`` puts the reference in our engine's place: the tests of common
behaviour must hold for it too, which is the control that they test WireGuard and not our habits.
"""

import os

import pytest

from tests.netns.peers import FS, WIREGUARD_GO, Engine

ENGINES = {engine.name: engine for engine in (FS, WIREGUARD_GO)}


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine under test."""
    return ENGINES[os.environ.get("FS_TEST_ENGINE", FS.name)]


@pytest.fixture(scope="session")
def our_engine(engine: Engine) -> Engine:
    """The engine under test where a test needs what only ours has."""
    if not engine.is_ours:
        pytest.skip(f"{engine.name} has no scaled clock, key log or drop counters")
    return engine
