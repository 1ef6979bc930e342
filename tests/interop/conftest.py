# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine under test, and what a test of it needs.

Ours runs with each of its packet paths.  ``FS_TEST_ENGINE=wireguard-go`` puts the reference in its
place: the tests of common behaviour must hold for it too, which is the control that they test
WireGuard and not our habits.
"""

import os

import pytest

from tests.netns.peers import FS, FS_PYTHON, WIREGUARD_GO, Engine

ENGINES = {engine.name: engine for engine in (FS, FS_PYTHON, WIREGUARD_GO)}
UNDER_TEST = os.environ.get("FS_TEST_ENGINE", f"{FS.name} {FS_PYTHON.name}").split()


@pytest.fixture(scope="session", params=UNDER_TEST)
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine under test."""
    return ENGINES[request.param]


@pytest.fixture(scope="session")
def our_engine(engine: Engine) -> Engine:
    """The engine under test, for tests of features that only ours has."""
    if not engine.is_ours:
        pytest.skip(f"{engine.name} has no scaled clock, key log or drop counters")
    return engine
