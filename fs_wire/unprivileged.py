"""Running without rights: a child's program from its start, or this process from here on.

Source: setpriv(1), capabilities(7), prctl(2).
"""

import os
import pwd
import resource
import signal
from collections.abc import Sequence

from fs_wire import libc
from fs_wire.errors import SystemChangeError

# The first of them that there is: Debian's dnsmasq-base makes one that owns nothing.
_USERS = ("dnsmasq", "nobody")


def nobody() -> pwd.struct_passwd:
    """A user who may do nothing; SystemChangeError where there is none."""
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemChangeError("there is no user nobody to run a resolver; add it, or give --no-dns")


def unprivileged(argv: Sequence[str]) -> list[str]:
    """The command that runs a program as nobody, who may open ports below 1024, and no more.

    It ends when the thread that starts it does.  SystemChangeError where there is no nobody.
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
    """Give up root for good, and end when the process ``parent`` does.

    OSError where the kernel refuses, SystemChangeError where there is no nobody.
    """
    user = nobody()
    become(user.pw_uid, user.pw_gid, parent)


def become(uid: int, gid: int, parent: int) -> None:
    """As ``become_nobody``, for another user; who is not root can only stay who he is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    # After the change of user, which forgets it.
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)  # it has ended in between
