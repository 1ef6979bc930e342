# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Check a command's rights on this host, so that it fails before it changes anything."""

import os
from pathlib import Path

from fs_wire.errors import PrivilegeError

_CAP_NET_ADMIN = 12  # capabilities(7)


def require_root(command: str, why: str = "reads what only root can see") -> None:
    """Raise PrivilegeError unless we are root."""
    if os.geteuid() != 0:
        raise PrivilegeError(f"{command} {why}; run it with sudo")


def require_net_admin(command: str) -> None:
    """Raise PrivilegeError unless we are root and may change networks.

    Root in a container may lack the capability.
    """
    require_root(command, "changes interfaces and routes")
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    if not effective >> _CAP_NET_ADMIN & 1:
        raise PrivilegeError(
            f"{command} needs CAP_NET_ADMIN; run it as root, and a container with "
            "--cap-add NET_ADMIN"
        )
