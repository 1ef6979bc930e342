# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Talk to the service manager: the protocol of sd_notify(3)."""

import os
import socket


def failed() -> bool:
    """Whether a service manager calls us after its service failed; systemd.exec(5)."""
    return os.environ.get("SERVICE_RESULT", "success") != "success"


def notify(state: str) -> None:
    """Send ``READY=1`` or the like to the service manager, if one has started us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        # An abstract address is written with @ in place of the zero.
        sock.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        sock.sendall(state.encode())
