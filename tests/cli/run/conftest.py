# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The host of tests of ``run``: its namespace and its cgroup are gone after each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fs_tunnel.linux.routing import inner_namespace
from fs_tunnel.linux.splits import cgroup
from tests.netns.served import Served, served, settle


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        settle(made.client.namespace)
        made.serve_apart("--wan", "wan")
        yield made
        assert not inner_namespace.path_of(made.client.name).exists()
        assert not cgroup.group(made.client.name).exists()


@pytest.fixture
def etc(etc: Path) -> Path:
    """The client's /etc/resolv.conf for every command but ``run``, which has its own."""
    (etc / "resolv.conf").write_text("nameserver 127.0.0.53\nnameserver 192.0.2.53\n")
    return etc
