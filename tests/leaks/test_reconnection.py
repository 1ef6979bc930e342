# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""After an interruption a tunnel carries traffic again by itself, and TCP connections survive.

The program promises that this takes at most two seconds after the link is back.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.leaks.probes import UPLINK
from tests.leaks.scene import Watched, watched
from tests.netns.served import WEB_V4
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns

PROMISED = 2.0  # seconds
PORT = 7007


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as made:
        made.served.serve("--wan", "wan")
        made.served.web.start("ncat", "--listen", "--keep-open", "--exec", "/bin/cat", str(PORT))
        made.up()
        yield made


@contextmanager
def conversation(scene: Watched) -> Iterator[Callable[[], None]]:
    """Open a TCP connection through the tunnel, and yield a function that waits for an echo."""

    def open_one() -> socket.socket | None:
        sock = scene.home.open_socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(patience.seconds(20.0))
        try:
            sock.connect((WEB_V4, PORT))
        except OSError:
            sock.close()
            return None
        return sock

    connected = wait_until(open_one, what="a connection through the tunnel")
    assert connected is not None
    with connected as sock:

        def speak() -> None:
            sock.sendall(b"still there?")
            assert sock.recv(100) == b"still there?"

        speak()
        yield speak


def assert_in_time(speak: Callable[[], None]) -> None:
    began = time.monotonic()
    speak()
    assert time.monotonic() - began < PROMISED


def test_a_connection_goes_on_after_the_uplinks_address_changed(scene: Watched) -> None:
    with conversation(scene) as speak:
        scene.move("3")
        assert_in_time(speak)
        scene.move("4")
        assert_in_time(speak)


def test_a_connection_goes_on_after_the_uplink_was_down(scene: Watched) -> None:
    with conversation(scene) as speak:
        scene.home.ip("link", "set", UPLINK, "down")
        time.sleep(1.0)
        scene.home.ip("link", "set", UPLINK, "up")
        scene.host = "4"
        for version, network, gateway in (
            ("-4", "198.51.100.2/25", "198.51.100.1"),
            ("-6", "2001:db8:3::2/64", "2001:db8:3::1"),
        ):
            scene.home.ip(version, "address", "replace", network, "dev", UPLINK)
            scene.home.ip(version, "route", "replace", "default", "via", gateway, "dev", UPLINK)
        assert_in_time(speak)


def test_a_connection_goes_on_after_the_engine_was_suspended(scene: Watched) -> None:
    engine = scene.engine()
    with conversation(scene) as speak:
        os.kill(engine, signal.SIGSTOP)
        time.sleep(3.0)
        os.kill(engine, signal.SIGCONT)
        assert_in_time(speak)
