# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider whose engine died and was started again finds its clients by itself.

The deadline is a promise: two seconds after the provider is back.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs_tunnel import known_endpoints
from tests.helper.asking import engine_pid, helper_pid
from tests.netns.served import WEB_V4, Served, served
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns

PROMISED = 2.0  # seconds
PORT, DOWNLOAD_PORT = 7007, 7008
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        made.serve("--wan", "wan")
        made.web.start("ncat", "--listen", "--keep-open", "--exec", "/bin/cat", str(PORT))
        made.web.start(
            *("ncat", "--listen", "--keep-open", "--sh-exec", COUNTING, str(DOWNLOAD_PORT))
        )
        made.up()
        yield made


def connect(scene: Served, port: int = PORT) -> socket.socket:
    def open_one() -> socket.socket | None:
        sock = scene.client.namespace.open_socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(patience.seconds(20.0))
        try:
            sock.connect((WEB_V4, port))
        except OSError:
            sock.close()
            return None
        return sock

    connected = wait_until(open_one, what="a connection through the tunnel")
    assert connected is not None
    return connected


def endpoints_file(scene: Served) -> Path:
    return scene.folder / "run" / f"{scene.name}.endpoints"


def kill_provider(scene: Served) -> None:
    os.kill(engine_pid(scene, scene.name), signal.SIGKILL)
    wait_until(lambda: not scene.provider.has_link(scene.name), what="the interface is gone")


def test_a_transfer_goes_on_within_two_seconds(scene: Served) -> None:
    with connect(scene) as sock:
        sock.sendall(b"before")
        assert sock.recv(100) == b"before"
        wait_until(endpoints_file(scene).exists, what="an endpoint is kept")
        kill_provider(scene)
        scene.serve("--wan", "wan")
        back = time.monotonic()
        sock.sendall(b"after")
        assert sock.recv(100) == b"after"
        assert time.monotonic() - back < PROMISED


def test_a_download_is_not_reset_meanwhile(scene: Served) -> None:
    """The server sends on while the provider is down, and the provider's host must not answer."""
    with connect(scene, DOWNLOAD_PORT) as sock, sock.makefile() as lines:
        wait_until(endpoints_file(scene).exists, what="the client's endpoint is kept")
        kill_provider(scene)
        before = int(lines.readline())
        scene.serve("--wan", "wan")
        while int(lines.readline()) < before + 100:  # five seconds later
            pass


def test_endpoints_are_roots_alone_and_end_with_down(scene: Served) -> None:
    with connect(scene):
        wait_until(endpoints_file(scene).exists, what="an endpoint is kept")
        assert endpoints_file(scene).stat().st_mode & 0o777 == 0o600
        text = endpoints_file(scene).read_text()
        assert [each.ip for each in known_endpoints.parse(text).values()] == ["198.51.100.2"]
        assert "198.51.100.2" not in (scene.folder / "state" / f"{scene.name}.journal").read_text()
    scene.down(scene.provider, scene.conf)
    assert not endpoints_file(scene).exists()


def test_a_helper_that_was_killed_has_kept_them(scene: Served) -> None:
    with connect(scene):
        wait_until(endpoints_file(scene).exists, what="an endpoint is kept")
    os.kill(helper_pid(scene, scene.name), signal.SIGKILL)
    kill_provider(scene)
    scene.serve("--wan", "wan")
    scene.client.namespace.run("ping", "-n", "-c", "1", "-w", "10", WEB_V4)
