# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Asking engines and helpers of a scene, from the tests' own process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from fs_tunnel.helper.client import HelperClient
from fs_wire import control
from tests.netns.served import Served


@contextmanager
def within(scene: Served) -> Iterator[None]:
    """The scene's directories are this process's, too; UNIX sockets know no network namespace."""
    with mock.patch.dict(os.environ, scene.env):
        yield


def engine_pid(scene: Served, name: str) -> int:
    with within(scene):
        return int(control.status(name)["pid"])


def helper_status(scene: Served, name: str) -> dict[str, Any]:
    with within(scene):
        return HelperClient(name).status()


def helper_pid(scene: Served, name: str) -> int:
    return int(helper_status(scene, name)["pid"])
