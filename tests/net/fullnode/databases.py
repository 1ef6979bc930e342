# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A PostgreSQL cluster for tests: it runs as an unprivileged user, on a UNIX socket in a folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.netns.waiting import wait_until
from tools.testing import patience

_USER = "flowshield"


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        message = "PostgreSQL is missing; run: apt-get install postgresql"
        if os.geteuid() == 0:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    home = programs[-1].parent
    with tempfile.TemporaryDirectory(prefix="fs-pg-") as folder:
        # PostgreSQL refuses to run as root.
        nobody = (65534, 65534) if os.geteuid() == 0 else (os.getuid(), os.getgid())
        os.chown(folder, *nobody)
        Path(folder).chmod(0o711)  # clients of the socket must be able to enter it
        data = Path(folder, "data")
        options = ["--auth=trust", f"--username={_USER}", "--no-sync", "--encoding=UTF8"]
        _run([home / "initdb", f"--pgdata={data}", "--locale=C", *options], nobody, folder)
        settings = ["-F", "-c", "listen_addresses=", "-k", folder, "-D", str(data)]
        with subprocess.Popen(
            [str(home / "postgres"), *settings],
            user=nobody[0],
            group=nobody[1],
            extra_groups=[],
            cwd=folder,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                url = f"postgresql://{_USER}@/postgres?host={folder}"
                wait_until(lambda: _is_up(url), what="PostgreSQL answers")
                yield url
            finally:
                server.terminate()
                server.wait(patience.seconds(30))


def _run(command: list[str | Path], user: tuple[int, int], folder: str) -> None:
    assert shutil.which(str(command[0]))
    done = subprocess.run(
        command,
        user=user[0],
        group=user[1],
        extra_groups=[],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _is_up(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
