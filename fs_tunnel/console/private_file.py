# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that only their owner can read."""

import os
from pathlib import Path

from fs_wire.errors import SystemChangeError, UsageError


def write_privately(path: Path, content: bytes, remedy: str = "name another file") -> None:
    """Replace a file whole or not at all; only its owner can read it.

    It raises UsageError if the path is no file, and SystemChangeError, which ends with ``remedy``,
    if the file cannot be written.
    """
    if path.exists() and not path.is_file():  # a file must not replace a device
        raise UsageError(f"{path} is no file; name one")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # With O_EXCL, the content never goes into a file or link that somebody else made.
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SystemChangeError(f"{path}: {error.strerror}; {remedy}") from None
