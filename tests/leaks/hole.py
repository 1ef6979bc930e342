# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Permit a negotiation with one endpoint until the input ends.

python -m tests.leaks.hole NAME ADDRESS PORT SECONDS
"""

import sys

from fs_tunnel import lifecycle
from fs_wire.types import Endpoint

name, address, port, seconds = sys.argv[1:]
with lifecycle.permitting_negotiation(name, Endpoint(address, int(port)), int(seconds)) as mark:
    print(mark, flush=True)
    sys.stdin.read()
