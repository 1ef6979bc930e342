# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run ``fs-tunnel``, and die by SIGKILL at one moment: what a crash test needs.

python -m tests.crash_at N before|after|undo-before|undo-after VERB ARGUMENTS...

N counts the changes that are made or undone, and the start of a helper, from 1; after ``undo-``,
only those undone. ``before`` is after the journal was written and before the host is changed. If
there are fewer than N, the program exits as fs-tunnel does.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fs_tunnel.cli.main import main
from fs_tunnel.helper import client
from fs_tunnel.linux.journal.kinds import KINDS

P = ParamSpec("P")
R = TypeVar("R")


def arm(number: int, moment: str) -> None:
    """Wrap ``do`` and ``undo`` of every kind of change, and the start of a helper."""
    left = number
    is_before = moment.endswith("before")

    def wrap(act: Callable[P, R]) -> Callable[P, R]:
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal left
            left -= 1
            if left == 0 and is_before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = act(*args, **kwargs)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for kind in KINDS.values():
        kind.undo = wrap(kind.undo)  # type: ignore[method-assign]
        if not moment.startswith("undo-"):
            kind.do = wrap(kind.do)  # type: ignore[method-assign]
    if not moment.startswith("undo-"):
        client.start = wrap(client.start)


if __name__ == "__main__":
    arm(int(sys.argv[1]), sys.argv[2])
    del sys.argv[1:3]
    main()
