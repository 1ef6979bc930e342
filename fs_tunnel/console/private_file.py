"""Files that only their owner can read."""

import os
from pathlib import Path

from fs_wire.errors import SystemChangeError, UsageError


def write_privately(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, in place of another file."""
    if path.exists() and not path.is_file():  # a device must not give way to a file
        raise UsageError(f"{path} is no file; name one")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # O_EXCL, so that nobody else's file or link, with its permissions, gets the content.
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
        raise SystemChangeError(f"{path}: {error.strerror}; name another file") from None
