# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""An error that nobody expected, as a line that passes from a process to whoever started it."""

import errno

# The errors of a connection that a firewall of this host rejects, as lockdown does.
REJECTED = frozenset({errno.EHOSTUNREACH, errno.EPERM, errno.EACCES})

_MOST = 300  # characters


def describe(error: BaseException) -> str:
    """Its kind and its words; of several errors at once, those of the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    said = printable(" ".join(str(error).split()))
    if isinstance(error, OSError) and said:
        return said[:_MOST]
    return f"{type(error).__name__}: {said}"[:_MOST] if said else type(error).__name__


def printable(text: str, most: int = 1000) -> str:
    """Of a text that a stranger may have written, what a terminal can be shown."""
    return "".join(each if each.isprintable() else "?" for each in text[:most])
