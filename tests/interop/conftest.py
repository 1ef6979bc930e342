# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Choose the engine under test.

Our engine runs with each of its packet paths. ``FS_TEST_ENGINE=wireguard-go`` tests the reference
instead. The tests of common behaviour must hold for the reference too. This control shows that they
test WireGuard and not our habits.
"""

import os

import pytest

from tests.netns.peers import FS, FS_PYTHON, WIREGUARD_GO, Engine

ENGINES = {engine.name: engine for engine in (FS, FS_PYTHON, WIREGUARD_GO)}
UNDER_TEST = os.environ.get("FS_TEST_ENGINE", f"{FS.name} {FS_PYTHON.name}").split()


@pytest.fixture(scope="session", params=UNDER_TEST)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return the engine under test."""
    return ENGINES[request.param]


@pytest.fixture(scope="session")
def our_engine(engine: Engine) -> Engine:
    """Return the engine under test if it is ours; other engines lack the feature under test."""
    if not engine.is_ours:
        pytest.skip(f"{engine.name} has no scaled clock, key log or drop counters")
    return engine
