# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Mark each socket of a cgroup with a BPF program of four instructions: bpf(2).

nftables would be too late: it sees a packet only after the packet has a route.

Sources: linux/bpf.h; the kernel's "BPF Instruction Set Specification".
"""

import ctypes
import os
import platform
import struct

from fs_wire import libc

_SYSCALLS = {
    "x86_64": 321,
    "i686": 357,
    "aarch64": 280,
    "riscv64": 280,
    "armv7l": 386,
    "ppc64le": 361,
    "s390x": 351,
}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_SOCK, _CGROUP_INET_SOCK_CREATE = 9, 2
_SOCK_MARK = 16  # offset in struct bpf_sock
_MOV32_IMMEDIATE, _STORE_WORD, _MOV64_IMMEDIATE, _EXIT = 0xB4, 0x63, 0xB7, 0x95
_R0, _CONTEXT, _R2 = range(3)
_ALLOWED = 1
_INSTRUCTION = struct.Struct("=BBhI")


def mark_sockets(cgroup: int, mark: int) -> None:
    """Give ``mark`` to every IP socket that a cgroup makes from now on.

    ``cgroup`` is a descriptor of its directory.  The mark replaces an earlier one, and ends with
    the cgroup.  OSError if the kernel has no bpf(2), or refuses.
    """
    program = _load(
        _instruction(_MOV32_IMMEDIATE, _R2, immediate=mark)
        + _instruction(_STORE_WORD, _CONTEXT, _R2, offset=_SOCK_MARK)
        + _instruction(_MOV64_IMMEDIATE, _R0, immediate=_ALLOWED)
        + _instruction(_EXIT)
    )
    try:
        # Without a flag, a second program replaces the first.
        _bpf(_PROG_ATTACH, struct.pack("=IIII", cgroup, program, _CGROUP_INET_SOCK_CREATE, 0))
    finally:
        os.close(program)


def _load(instructions: bytes) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"MIT")
    # The fields between stay zero: log, flags and name.
    attributes = struct.pack(
        "=IIQQ40xII",
        _PROG_TYPE_CGROUP_SOCK,
        len(instructions) // _INSTRUCTION.size,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0,
        _CGROUP_INET_SOCK_CREATE,
    )
    return _bpf(_PROG_LOAD, attributes)


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYSCALLS.get(platform.machine())
    if number is None:
        raise OSError(f"bpf: the number of the call is not known on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return libc.system_call(number, ctypes.c_int(command), buffer, ctypes.c_uint(len(attributes)))


def _instruction(
    code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    registers = destination | source << 4
    return _INSTRUCTION.pack(code, registers, offset, immediate)
