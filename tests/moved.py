# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Move a tunnel that is up, and die at one moment: what a crash test needs.

python -m tests.moved N before|after CONF; with N = 0 it does not die. See ``tests.crash_at``.
"""

import sys
from pathlib import Path

from fs_tunnel import lifecycle
from fs_tunnel.config import load
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles.running import client_tunnel
from tests.crash_at import arm

number, moment, conf = sys.argv[1:]
config = load(Path(conf))
arm(int(number), moment)
lifecycle.move(config, *client_tunnel(config, Protection()))
