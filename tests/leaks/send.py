# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Send every probe from the namespace and the cgroup that this process is in.

python -m tests.leaks.send GATEWAY OWN_ADDRESS
"""

import contextlib
import socket
import sys

from tests.leaks.probes import probes
from tests.netns.topology import Namespace


class Here(Namespace):
    """The namespace of this process; it needs no name."""

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        return socket.socket(family, kind, protocol)


if __name__ == "__main__":
    for probe in probes(*sys.argv[1:]):
        if not probe.from_box:
            with contextlib.suppress(OSError):  # a refusal to send is a result, too
                probe.send(Here(""))
