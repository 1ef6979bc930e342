# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Gives up rights: for another program from its start, or for this process from now on.

Source: setpriv(1), capabilities(7), prctl(2).
"""

import os
import pwd
import resource
import signal
from collections.abc import Sequence

from fs_wire import late_imports, libc
from fs_wire.errors import SystemChangeError

# The first of these users that exists is taken.  Debian's dnsmasq-base makes ``dnsmasq``, which
# owns nothing.
_USERS = ("dnsmasq", "nobody")


def nobody() -> pwd.struct_passwd:
    """Return a user without rights; raise SystemChangeError if there is none."""
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemChangeError("there is no user nobody for the resolver; add it, or give --no-dns")


def unprivileged(argv: Sequence[str]) -> list[str]:
    """Return a command that runs a program as nobody, with the right to open ports below 1024.

    The program ends when the thread that started it ends.  Raise SystemChangeError if there is no
    such user.
    """
    user = nobody()
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+net_bind_service",
        "--ambient-caps=-all,+net_bind_service",
        "--bounding-set=-all,+net_bind_service",
        "--no-new-privs",
        "--pdeathsig=KILL",
        "--",
        *argv,
    ]


def become_nobody(parent: int) -> None:
    """Give up root for good, and end when the process ``parent`` ends.

    Raise OSError if the kernel refuses, and SystemChangeError if there is no such user.
    """
    user = nobody()
    become(user.pw_uid, user.pw_gid, parent)


def become(uid: int, gid: int, parent: int, *late: str) -> None:
    """Become another user, as ``become_nobody`` does.

    Without root, only the process's own user is possible.  ``uid`` and ``gid`` are numbers.
    ``late`` names the modules that libraries would import afterwards; see ``late_imports``.
    """
    late_imports.load(*late)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    # This comes after the change of user, which resets it.
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)  # the parent has ended in the meantime
