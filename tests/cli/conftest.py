# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A host's /etc for tests of commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.served import Served


@pytest.fixture
def etc(scene: Served) -> Iterator[Path]:
    """A folder whose files commands in the client's namespace see in /etc."""
    folder = Path("/etc/netns") / scene.client.namespace.name
    folder.mkdir(parents=True)
    yield folder
    for each in folder.iterdir():
        each.unlink()
    folder.rmdir()
