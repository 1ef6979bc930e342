# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``status`` of tunnels that are up in namespaces."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fs_wire.types import KEY_LEN, PublicKey
from tests.netns.peers import FS, WIREGUARD_GO, generate_psk, running
from tests.netns.served import Served, served
from tests.netns.topology import Namespace
from tools.testing import patience

pytestmark = pytest.mark.netns


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


def test_both_sides_of_a_tunnel(scene: Served) -> None:
    provider, client = scene.provider, scene.client
    none = scene.fs_tunnel(client.namespace, "status", client.name)
    assert (none.code, none.out) == (3, "")
    assert none.err.startswith(f"fs-tunnel: error: {client.name} is not up; start it with")

    scene.serve("--wan", "wan")
    scene.up()
    client.namespace.run("ping", "-n", "-c", "1", "-w", "10", "10.66.0.1")
    said = look(scene, provider, scene.name)
    assert (said["role"], said["config"]) == ("serve", str(scene.conf))
    assert said["public_key"] == scene.keys.public
    peers = {each["public_key"]: each for each in said["peers"]}
    up, idle = peers[client.keys.public], peers[scene.other.keys.public]
    assert abs(up["latest_handshake"] - time.time()) < 60
    assert min(up[each] for each in ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")) > 0
    assert idle["latest_handshake"] is None
    assert (idle["rx_packets"], idle["rx_bytes"]) == (0, 0)
    assert look(scene, client.namespace, client.name)["role"] == "up"

    table = scene.fs_tunnel(provider, "status").out
    for fact in (f"{scene.name}  serve  port 51820", f"{client.name}  up", " s ago", "never"):
        assert fact in table
    for secret in (scene.keys.private, client.keys.private):
        assert secret[:12] not in table
        assert secret[:12] not in json.dumps(said)


def test_watch_goes_on_until_ctrl_c(scene: Served) -> None:
    with running(FS, scene.client.namespace, ["10.66.0.9/32"], env=scene.env) as alice:
        command = scene.command("status", "--watch", "--json", alice.ifname)
        process = alice.home.start(*command, env=scene.env, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(2):
            (tunnel,) = json.loads(process.stdout.readline())["tunnels"]
            assert tunnel["name"] == alice.ifname
        process.send_signal(signal.SIGINT)
        assert process.wait(patience.seconds(20)) == 130


def test_another_implementations_engine_is_shown_too(scene: Served) -> None:
    with running(WIREGUARD_GO, scene.client.namespace, ["10.66.0.9/32"]) as alice:
        bob = PublicKey(b"\x33" * KEY_LEN).to_base64()
        psk = generate_psk()
        alice.add_peer(bob, allowed_ips=["10.66.0.2/32"], psk=psk, endpoint=("192.0.2.2", 7))
        said = look(scene, alice.home, alice.ifname)
        assert "drops" not in said
        (peer,) = said["peers"]
        assert (peer["public_key"], peer["endpoint"]) == (bob, "192.0.2.2:7")
        assert peer["has_preshared_key"]
        assert psk not in json.dumps(said)


def test_an_engine_that_hangs_is_named(scene: Served) -> None:
    with running(FS, scene.client.namespace, ["10.66.0.9/32"], env=scene.env) as alice:
        assert alice.process is not None
        alice.process.send_signal(signal.SIGSTOP)
        try:
            done = scene.fs_tunnel(alice.home, "status", alice.ifname)
        finally:
            alice.process.send_signal(signal.SIGCONT)
        assert done.code == 1
        assert done.err.startswith(f"fs-tunnel: error: {alice.ifname}'s engine did not answer")


def look(scene: Served, where: Namespace, name: str) -> dict[str, Any]:
    """The one tunnel that ``status --json NAME`` tells of."""
    done = scene.fs_tunnel(where, "status", "--json", name)
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert said["schema"] == 1
    (tunnel,) = said["tunnels"]
    assert isinstance(tunnel, dict)
    return tunnel
