# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Alice and Bob before and after their handshake."""

import pytest

from tests.proto.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def connected(world: World) -> World:
    world.handshake()
    world.history.clear()
    return world
