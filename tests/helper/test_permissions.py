# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What an agent without rights may have changed, and what not."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fs_tunnel.helper.client import HelperClient
from fs_tunnel.helper.protocol import MAX_CHANGES
from fs_tunnel.linux.firewall.nft import table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.routing.links import Link
from fs_wire.errors import ControlError, FlowShieldError
from tests.helper.asking import helper_status, within
from tests.netns.served import Served, expect_ok, host_state, served

pytestmark = pytest.mark.netns

AGENT, STRANGER = 65534, 65533
ELSEWHERE = ("198.51.100.1", 7777)
MARK = 51820


@pytest.fixture
def scene() -> Iterator[Served]:
    folder = Path(tempfile.mkdtemp(prefix="fs-test-"))
    folder.chmod(0o711)  # the agent must get as far as on a host
    try:
        with served(folder) as made:
            made.up(made.client, "--agent", str(AGENT))
            yield made
    finally:
        shutil.rmtree(folder)


def as_user(uid: int, scene: Served, act: Callable[[HelperClient], object]) -> str:
    """Let a process of another user ask the helper, and return why it was refused, or ""."""
    heard, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            act(HelperClient(scene.client.name))
        except (FlowShieldError, OSError) as error:
            os.write(told, str(error).encode() or b"?")
        os._exit(0)
    os.close(told)
    os.waitpid(pid, 0)
    with os.fdopen(heard) as stream:
        return stream.read()


def elsewhere(scene: Served) -> PermittedEndpoint:
    return PermittedEndpoint(table_of(scene.client.name), *ELSEWHERE)


def arrives(scene: Served, *, mark: int = MARK) -> bool:
    """Whether a datagram gets out of the client to another endpoint."""
    with (
        scene.provider.udp_socket(*ELSEWHERE, seconds=0.5) as there,
        scene.client.namespace.udp_socket("0.0.0.0") as here,
    ):
        here.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        with suppress(OSError):
            here.sendto(b"a handshake", ELSEWHERE)
        with suppress(TimeoutError):
            return there.recv(100) == b"a handshake"
    return False


def test_an_agent_lets_the_tunnels_datagrams_go_elsewhere(scene: Served) -> None:
    change = elsewhere(scene)
    state = host_state(scene.client.namespace)
    with within(scene):
        assert not arrives(scene)
        assert as_user(AGENT, scene, lambda client: client.do(change)) == ""
        assert arrives(scene)
        assert not arrives(scene, mark=0)
        assert as_user(AGENT, scene, lambda client: client.do(change)) == ""  # it is in force
        assert len(helper_status(scene, scene.client.name)["changes"]) == 1
        assert as_user(AGENT, scene, lambda client: client.undo(change)) == ""
        assert not arrives(scene)
        assert as_user(AGENT, scene, lambda client: client.undo(change)) == ""
    assert host_state(scene.client.namespace) == state


def test_down_undoes_it_and_so_does_up(scene: Served) -> None:
    where, name = scene.client.namespace, scene.client.name
    with within(scene):
        HelperClient(name).do(elsewhere(scene))
    scene.up()
    assert not arrives(scene)
    with within(scene):
        HelperClient(name).do(elsewhere(scene))
    scene.down(where, scene.client.conf)
    assert "fs_" not in where.run("nft", "list", "ruleset")


def test_strangers_are_hung_up_on(scene: Served) -> None:
    with within(scene):
        assert "cannot be reached" in as_user(STRANGER, scene, lambda client: client.status())
        path = scene.folder / "run" / f"{scene.client.name}.helper"
        path.chmod(0o666)
        said = as_user(STRANGER, scene, lambda client: client.do(elsewhere(scene)))
        assert "did not answer" in said
        assert as_user(AGENT, scene, lambda client: client.status()) == ""
        path.chmod(0o600)
    expect_ok(scene.fs_tunnel(scene.client.namespace, "up", scene.client.conf))  # no agent
    with within(scene):
        assert "cannot be reached" in as_user(AGENT, scene, lambda client: client.status())


def test_an_agent_may_not_configure(scene: Served) -> None:
    with within(scene):
        assert "only root may ask for leave" in as_user(AGENT, scene, lambda each: each.leave())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Link("eth0"), "may not ask for a Link"),
        (PermittedEndpoint("fs_other", "192.0.2.1", 1), "is not one of"),
    ],
)
def test_other_changes_are_refused(scene: Served, change: Change, why: str) -> None:
    with within(scene), pytest.raises(ControlError, match=why):
        HelperClient(scene.client.name).do(change)


def test_what_the_file_opened_cannot_be_closed(scene: Served) -> None:
    own = PermittedEndpoint(table_of(scene.client.name), "198.51.100.1", 51820)
    with within(scene):
        with pytest.raises(ControlError, match="permitted already"):
            HelperClient(scene.client.name).do(own)
        HelperClient(scene.client.name).undo(own)
    sets = scene.client.namespace.run("nft", "list", "set", "inet", own.table, "endpoints4")
    assert "198.51.100.1 . 51820" in sets


def test_there_is_an_end_to_it(scene: Served) -> None:
    client = HelperClient(scene.client.name)
    with within(scene):
        for port in range(1, MAX_CHANGES + 1):
            client.do(PermittedEndpoint(table_of(scene.client.name), "192.0.2.1", port))
        with pytest.raises(ControlError, match="undo one first"):
            client.do(elsewhere(scene))
        assert len(client.status()["changes"]) == MAX_CHANGES


def test_a_provider_has_no_such_changes(scene: Served) -> None:
    scene.serve("--wan", "wan")
    change = PermittedEndpoint(table_of(scene.name), *ELSEWHERE)
    with within(scene), pytest.raises(FlowShieldError, match="is not the tunnel of a client"):
        HelperClient(scene.name).do(change)
