# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The messages to a service manager, and our units for it."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fs_tunnel.linux.systemd import notify
from tests.netns.served import served
from tests.netns.topology import REPOSITORY
from tools.testing import patience

UNITS = REPOSITORY / "packaging" / "systemd"
# Tenths of what systemd-analyze calls exposure: below 2.0, and below 3.0.
MOST_EXPOSED = {
    "fs-tunnel@.service": 19,
    "fs-tunnel-serve@.service": 29,
    "fs-tunnel-lockdown.service": 19,
    "fs-tunnel-fullnode.service": 19,
}


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(patience.seconds(20))
        sock.bind(address)
        yield sock


def test_a_manager_is_told_at_a_path_or_an_abstract_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "notify")
    for bound, named in ((path, path), ("\0fs-test-notify", "@fs-test-notify")):
        with manager(bound) as listener:
            monkeypatch.setenv("NOTIFY_SOCKET", named)
            notify("READY=1")
            assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "nonsense"])
def test_nobody_is_told_where_nobody_listens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


@pytest.mark.netns
def test_a_tunnel_in_the_foreground_tells_its_manager(tmp_path: Path) -> None:
    with served(tmp_path) as scene, manager(str(tmp_path / "notify")) as listener:
        client = scene.client
        process = client.namespace.start(
            *scene.command("up", "-f", client.conf),
            env={**scene.env, "NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        assert listener.recv(100) == b"READY=1"
        assert client.namespace.has_link(client.name)
        process.send_signal(signal.SIGTERM)
        assert listener.recv(100) == b"STOPPING=1"
        assert process.wait(patience.seconds(20)) == 0


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_a_unit_exposes_little(unit: str) -> None:
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={MOST_EXPOSED[unit]}", str(UNITS / unit)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ignoring" not in done.stderr


def test_lockdown_is_loaded_before_there_is_a_network() -> None:
    lines = (UNITS / "fs-tunnel-lockdown.service").read_text().splitlines()
    assert "DefaultDependencies=no" in lines
    assert "Before=network-pre.target shutdown.target" in lines
    setting = "/var/lib/fs-tunnel/lockdown.nft"
    assert f"ConditionPathExists={setting}" in lines
    assert f"ExecStart=/usr/sbin/nft -f {setting}" in lines
    assert not any(line.startswith("ExecStop") for line in lines)


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_systemd_understands_a_unit(unit: str, tmp_path: Path) -> None:
    """The program need not be installed for that."""
    copy = tmp_path / unit
    copy.write_text((UNITS / unit).read_text().replace("/usr/bin/fs-tunnel", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
