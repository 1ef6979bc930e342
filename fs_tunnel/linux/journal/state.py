# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The directory of journals, and the locks that keep commands out of each other's way."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fs_wire.errors import SystemChangeError

_LOCK_DEADLINE = 60.0  # seconds


def state_directory() -> Path:
    """Where journals live: FS_TUNNEL_STATE_DIR, or /var/lib/fs-tunnel."""
    return Path(os.environ.get("FS_TUNNEL_STATE_DIR", "/var/lib/fs-tunnel"))


@contextmanager
def locked(name: str, seconds: float = _LOCK_DEADLINE) -> Iterator[None]:
    """Keep every other command away from tunnel ``name``.

    Waits for a command that is at work; SystemChangeError if it does not end in time.
    """
    with _file_locked(f"{name}.lock", f"another fs-tunnel command is at work on {name}", seconds):
        yield


@contextmanager
def helper_alone(name: str, seconds: float = 0.0) -> Iterator[None]:
    """Be the one helper of tunnel ``name``; SystemChangeError while there is another."""
    with _file_locked(f"{name}.helper.lock", f"a helper of {name} is there", seconds):
        yield


@contextmanager
def host_locked() -> Iterator[None]:
    """Keep every other command from changing the host, for the moment of one change."""
    # No tunnel has an empty name.
    with _file_locked(".lock", "another fs-tunnel command is changing this host"):
        yield


@contextmanager
def _file_locked(filename: str, who: str, seconds: float = _LOCK_DEADLINE) -> Iterator[None]:
    path = own_directory() / filename
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SystemChangeError(f"{path}: {error.strerror}; mend that, and repeat") from None
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemChangeError(f"{who}; wait for it to end") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def own_directory() -> Path:
    """Make the directory. Only root may write journals, since hooks run from them."""
    directory = state_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise SystemChangeError(f"{directory}: {error.strerror}; run as root") from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise SystemChangeError(
            f"{directory} can be written by others; chown root and chmod 700 it"
        )
    return directory
