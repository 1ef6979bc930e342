# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A dead tunnel looks for another provider; its agent reaches that provider and nobody else.

A packet passes only if it has the tunnel's mark and goes to one TCP endpoint. The mark needs
CAP_NET_ADMIN. Root sends the probes, so no other user can get further than they do.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fs_tunnel.linux.firewall.nft import table_of
from fs_tunnel.linux.firewall.permitted_negotiation import connect_marked
from tests.leaks.probes import TCP_, Probe, tcp
from tests.leaks.scene import GATEWAY_V4, GATEWAY_V6, Watched, watched
from tests.netns.topology import python_module
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

PORT, OTHER_PORT = 4700, 4701
NOBODY = 65534
_TRY_TO_MARK = "import socket; socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 51820)"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watched]:
    """Bring up a tunnel whose provider does not exist, and start listeners for the negotiation."""
    with watched(tmp_path) as made:
        for port in (PORT, OTHER_PORT):
            made.served.provider.start("ncat", "--listen", "--keep-open", str(port))
        wait_until(
            lambda: f":{OTHER_PORT}" in made.served.provider.run("ss", "-ltnH"), what="it listens"
        )
        made.home.sysctl("net/ipv4/conf/all/rp_filter", 1)
        made.home.sysctl("net/ipv4/conf/wire/rp_filter", 1)
        made.up()
        yield made


@contextmanager
def negotiating(
    scene: Watched, address: str, seconds: int = 20
) -> Iterator["subprocess.Popen[bytes]"]:
    """Open the hole in another process, as the mover does, and yield that process."""
    arguments = (scene.served.client.name, address, str(PORT), str(seconds))
    process = scene.home.start(
        *python_module("tests.leaks.hole"),
        *arguments,
        env=scene.served.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == mark(scene)
    yield process
    process.communicate()


def mark(scene: Watched) -> int:
    said = scene.home.run("ip", "rule", "show")
    return int(said.partition("fwmark ")[2].split()[0], 16)


def reaches(scene: Watched, address: str, port: int = PORT, *, marked: bool = True) -> bool:
    with scene.home.entered():
        try:
            connect_marked(address, port, mark(scene) if marked else 0, 1.0).close()
        except OSError:
            return False
    return True


@pytest.mark.parametrize("address", [GATEWAY_V4, GATEWAY_V6])
def test_a_negotiation_reaches_one_endpoint_and_nothing_else_leaves(
    scene: Watched, address: str
) -> None:
    assert not reaches(scene, address)
    # Two more probes go to the same endpoint: without the mark, and bound to the uplink.
    scene.more += [
        Probe("the endpoint", tcp(address, PORT), TCP_, address, PORT),
        Probe("the endpoint, bound", tcp(address, PORT, device="wire"), TCP_, address, PORT),
    ]
    with negotiating(scene, address):
        assert reaches(scene, address)
        assert not reaches(scene, address, OTHER_PORT)
        assert not reaches(scene, address, marked=False)
        assert not scene.seen()
        marking = scene.home.start(
            *("setpriv", f"--reuid={NOBODY}", "--clear-groups", sys.executable),
            *("-c", _TRY_TO_MARK),
            stderr=subprocess.DEVNULL,
        )
        assert marking.wait() != 0
    assert not reaches(scene, address)
    assert not scene.seen()


def test_the_hole_of_a_killed_mover_closes_by_itself_and_down_removes_it(scene: Watched) -> None:
    with negotiating(scene, GATEWAY_V4, seconds=3) as process:
        assert reaches(scene, GATEWAY_V4)
        process.kill()
        wait_until(lambda: not reaches(scene, GATEWAY_V4), what="its time is over")
    journal = scene.served.folder / "state" / f"{scene.served.client.name}.journal"
    assert "PermittedNegotiation" in journal.read_text()
    assert not scene.seen()
    scene.down()
    assert table_of(scene.served.client.name) not in scene.home.run("nft", "list", "tables")


def test_a_connection_of_the_negotiation_ends_when_its_time_is_over(scene: Watched) -> None:
    with negotiating(scene, GATEWAY_V4), scene.home.entered():
        sock = connect_marked(GATEWAY_V4, PORT, mark(scene), 1.0)
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)

        def has_ended() -> bool:
            try:
                sock.send(b"still there?")
            except OSError:
                return True
            return False

        wait_until(has_ended, what="nothing passes any more")
