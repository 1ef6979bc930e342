# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Log handshake secrets, which decrypt a capture: for debugging only.

Wireshark reads this form (``wg.keylog_file``), and WireGuard's extract-handshakes.sh writes it.
"""

import base64
import logging
import os
from pathlib import Path

from fs_tunnel.proto.switch import KeyLogEntry
from fs_wire.errors import SystemChangeError

log = logging.getLogger(__name__)


class KeyLog:
    """Appends to a file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        """Raise SystemChangeError if the file cannot be opened, or is a symbolic link."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o600)
            os.fchmod(self._fd, 0o600)
        except OSError as error:
            raise SystemChangeError(
                f"the key log {path} cannot be written: {error.strerror}; name another file"
            ) from None
        log.warning("secrets of every handshake are written to %s: for debugging only", path)

    def write(self, entry: KeyLogEntry) -> None:
        lines = (
            ("LOCAL_STATIC_PRIVATE_KEY", entry.local_static),
            ("REMOTE_STATIC_PUBLIC_KEY", entry.remote_static),
            ("LOCAL_EPHEMERAL_PRIVATE_KEY", entry.local_ephemeral),
            ("PRESHARED_KEY", entry.preshared),
        )
        text = "".join(f"{name} = {base64.b64encode(key).decode()}\n" for name, key in lines)
        os.write(self._fd, text.encode())
