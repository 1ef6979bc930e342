# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The system calls that an engine makes, and no others: seccomp(2), through libseccomp.

Any other call fails with ENOSYS, as in a kernel that does not have it.  So libraries that would
like a newer call do without it.
"""

import ctypes
import errno
import os
import socket
import sys

# seccomp.h of libseccomp
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVS, _TSYNC, _OPTIMIZE = 3, 4, 8  # enum scmp_filter_attr
_BINARY_TREE = 2
_EQUAL, _MASKED_EQUAL = 4, 7  # enum scmp_compare
_CLONE_THREAD = 0x00010000
_PR_SET_NAME, _PR_SET_VMA = 15, 0x53564D41

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
ALLOWED = (
    # packets and sockets
    *("read", "readv", "write", "writev", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg"),
    *("sendmmsg", "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname"),
    *("getpeername", "getsockopt", "setsockopt", "ioctl", "fcntl", "close", "close_range"),
    *("dup", "dup2", "dup3", "pipe", "pipe2", "eventfd2", "lseek", "pread64", "pwrite64"),
    # waiting
    *("poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait"),
    *("epoll_pwait", "epoll_pwait2", "futex", "nanosleep", "clock_nanosleep", "sched_yield"),
    *("restart_syscall", "timerfd_create", "timerfd_settime", "signalfd4"),
    # time, entropy, and our own ids
    *("clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom", "getpid", "gettid"),
    *("getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "uname"),
    *("sysinfo", "getrusage", "getcpu", "getcwd", "umask"),
    # memory and threads
    *("mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "membarrier", "arch_prctl"),
    *("set_robust_list", "set_tid_address", "rseq", "exit", "exit_group", "getpriority"),
    *("setpriority", "sched_getaffinity", "mlock", "munlock"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "tgkill"),
    # files; Landlock leaves few of them
    *("open", "openat", "openat2", "stat", "lstat", "fstat", "newfstatat", "statx", "access"),
    *("faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "unlink", "unlinkat"),
    "fsync",
)


class Compare(ctypes.Structure):
    """A condition on an argument: scmp_arg_cmp of libseccomp's seccomp.h."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def restrict() -> bool:
    """Forbid every thread of this process all other calls.

    False if there is no libseccomp; OSError if the kernel refuses.
    """
    if sys.maxsize < 2**32:
        return False  # the calls of a 32-bit processor have other names
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.ENOSYS))
    try:
        for attribute, value in ((_NO_NEW_PRIVS, 0), (_TSYNC, 1), (_OPTIMIZE, _BINARY_TREE)):
            _check(library.seccomp_attr_set(context, attribute, ctypes.c_uint32(value)))
        for call in ALLOWED:
            _allow(library, context, call)
        for family in FAMILIES:
            _allow(library, context, "socket", Compare(0, _EQUAL, family))
        _allow(library, context, "socketpair", Compare(0, _EQUAL, socket.AF_UNIX))
        # Threads, but no processes.  clone3 hides its flags behind a pointer, so it is forbidden.
        _allow(library, context, "clone", Compare(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD))
        for option in (_PR_SET_NAME, _PR_SET_VMA):
            _allow(library, context, "prctl", Compare(0, _EQUAL, option))
        # The engine may read limits, but not set them.
        _allow(library, context, "prlimit64", Compare(2, _EQUAL, 0))
        _check(library.seccomp_load(context))
    finally:
        library.seccomp_release(context)
    return True


def _allow(library: ctypes.CDLL, context: ctypes.c_void_p, name: str, *conditions: Compare) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number < 0:
        return  # another architecture's
    array = (Compare * len(conditions))(*conditions)
    _check(
        library.seccomp_rule_add_array(
            context, ctypes.c_uint32(_ALLOW), number, len(conditions), array
        )
    )


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, f"seccomp: {os.strerror(-result)}")
