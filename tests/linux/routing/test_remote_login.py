# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The SSH session of a user, as /proc shows it."""

import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from fs_tunnel.linux.routing.remote_login import RemoteLogin, remote_login


def process(proc: Path, pid: int, parent: int, environment: bytes = b"") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} (sh) 7 (x) S {parent} 1 1")
    (folder / "environ").write_bytes(environment)


def login(proc: Path, said: str) -> RemoteLogin | None:
    process(proc, 9, 1, b"A=b\0SSH_CONNECTION=" + said.encode() + b"\0")
    return remote_login(9, proc)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("192.0.2.7 40000 192.0.2.1 22", ("192.0.2.7", 22)),
        ("2001:db8::7 40000 2001:db8::1 2222", ("2001:db8::7", 2222)),
        ("::ffff:192.0.2.7 40000 ::ffff:192.0.2.1 22", ("192.0.2.7", 22)),
        ("fe80::7%eth0 40000 fe80::1%eth0 22", ("fe80::7", 22)),
    ],
)
def test_a_session_is_where_it_comes_from(
    tmp_path: Path, said: str, found: tuple[str, int]
) -> None:
    assert login(tmp_path, said) == (ip_address(found[0]), found[1])


@pytest.mark.parametrize("said", ["", "UNKNOWN 65535 UNKNOWN 65535", "192.0.2.7", "a b c d e"])
def test_what_is_no_session_is_none(tmp_path: Path, said: str) -> None:
    assert login(tmp_path, said) is None


def test_those_who_started_us_are_asked(tmp_path: Path) -> None:
    process(tmp_path, 20, 10)
    process(tmp_path, 10, 5)
    process(tmp_path, 5, 1, b"SSH_CONNECTION=192.0.2.7 4 192.0.2.1 22")
    assert remote_login(20, tmp_path) == (ip_address("192.0.2.7"), 22)
    process(tmp_path, 30, 29, b"PATH=/bin")  # started by one who has ended
    assert remote_login(30, tmp_path) is None


def test_a_real_process_is_read() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "SSH_CONNECTION": "192.0.2.7 40000 192.0.2.1 22"},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()  # before that, exec may not have laid out the environment
        assert remote_login(child.pid) == (ip_address("192.0.2.7"), 22)
        child.communicate(b"\n")
