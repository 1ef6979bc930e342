# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``python -m tests.leaks.hole NAME ADDRESS PORT SECONDS``: permits it until its input ends."""

import sys

from fs_tunnel import lifecycle
from fs_wire.types import Endpoint

name, address, port, seconds = sys.argv[1:]
with lifecycle.permitting_negotiation(name, Endpoint(address, int(port)), int(seconds)) as mark:
    print(mark, flush=True)
    sys.stdin.read()
