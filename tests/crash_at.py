"""Run ``fs-tunnel``, and die by SIGKILL at one moment: what a crash test needs.

python -m tests.crash_at N before|after VERB ARGUMENTS...

N counts the changes that are made or undone, from 1; ``before`` is after the journal was written
and before the host is changed. Exits as fs-tunnel does where there are fewer than N.
"""

import os
import signal
import sys
from collections.abc import Callable

from fs_tunnel.cli.main import main
from fs_tunnel.linux.change import Change
from fs_tunnel.linux.kinds import KINDS


def arm(number: int, moment: str) -> None:
    """Wrap ``do`` and ``undo`` of every kind of change."""
    left = number

    def wrap(act: Callable[[Change], None]) -> Callable[[Change], None]:
        def wrapped(self: Change) -> None:
            nonlocal left
            left -= 1
            if left == 0 and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            act(self)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        return wrapped

    for kind in KINDS.values():
        kind.do = wrap(kind.do)  # type: ignore[method-assign,assignment]
        kind.undo = wrap(kind.undo)  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    arm(int(sys.argv[1]), sys.argv[2])
    del sys.argv[1:3]
    main()
