"""Where a provider's clients were heard last, so that a restarted engine can find them.

A restarted engine has no sessions, and clients learn of that only when they miss answers, which
takes them 15 seconds.  With these endpoints the engine opens the sessions itself.  They are
customers' addresses: in a file for root alone, on a file system in memory, and in no log.
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
    """``KEY ENDPOINT`` a line; what is neither is passed over."""
    found = {}
    for line in text.splitlines():
        key, _, endpoint = line.partition(" ")
        with contextlib.suppress(UsageError):
            found[PublicKey.from_base64(key)] = Endpoint.parse(endpoint)
    return found


def render(endpoints: Mapping[PublicKey, Endpoint]) -> str:
    """The inverse."""
    return "".join(f"{key.to_base64()} {endpoint}\n" for key, endpoint in endpoints.items())


def load(name: str) -> dict[PublicKey, Endpoint]:
    """What was kept of tunnel ``name``; nothing where nothing was, or others could write it."""
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
    """Keep them, in place of what was kept; OSError where the file cannot be written."""
    if not endpoints:
        forget(name)
        return
    partial = path(name).with_suffix(".endpoints.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(partial, flags, 0o600), "w") as stream:
        stream.write(render(endpoints))
    partial.rename(path(name))


def forget(name: str) -> None:
    """Remove them."""
    path(name).unlink(missing_ok=True)
    path(name).with_suffix(".endpoints.new").unlink(missing_ok=True)
