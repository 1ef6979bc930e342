# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keep the latest endpoints of a provider's clients, so that a restarted engine finds them.

A restarted engine has no sessions.  Clients notice only after 15 seconds without an answer.  With
these endpoints, the engine opens the sessions itself.  They are the addresses of customers: we keep
them in a file for root alone, on a file system in memory, and in no log.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from fs_wire.control import run_directory
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint, PublicKey

MAX_FILE_BYTES = 16 << 20  # 100,000 peers take 10 MiB


def path(name: str) -> Path:
    return run_directory() / f"{name}.endpoints"


def parse(text: str) -> dict[PublicKey, Endpoint]:
    """Parse one ``KEY ENDPOINT`` in each line, and skip any other line."""
    found = {}
    for line in text.splitlines():
        key, _, endpoint = line.partition(" ")
        with contextlib.suppress(UsageError):
            found[PublicKey.from_base64(key)] = Endpoint.parse(endpoint)
    return found


def render(endpoints: Mapping[PublicKey, Endpoint]) -> str:
    """Write endpoints as lines of ``KEY ENDPOINT``."""
    return "".join(f"{key.to_base64()} {endpoint}\n" for key, endpoint in endpoints.items())


def load(name: str) -> dict[PublicKey, Endpoint]:
    """Load the endpoints of tunnel ``name``; none if there are none, or others can write them."""
    try:
        descriptor = os.open(path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            return {}
        return parse(stream.read(MAX_FILE_BYTES).decode("ascii", "replace"))


def save(name: str, endpoints: Mapping[PublicKey, Endpoint]) -> None:
    """Replace the stored endpoints; OSError if the file cannot be written."""
    if not endpoints:
        forget(name)
        return
    partial = path(name).with_suffix(".endpoints.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(partial, flags, 0o600), "w") as stream:
        stream.write(render(endpoints))
    partial.rename(path(name))


def forget(name: str) -> None:
    """Remove the stored endpoints."""
    path(name).unlink(missing_ok=True)
    path(name).with_suffix(".endpoints.new").unlink(missing_ok=True)
