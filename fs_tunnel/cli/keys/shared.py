# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the verbs about keys share: entropy, standard input, and who may read the output."""

import os
import stat
import sys

import click

from fs_wire.errors import UsageError
from fs_wire.types import PrivateKey

_MAX_INPUT = 4096  # bytes; a key is 44


def print_secret(text: str) -> None:
    """Print a key, and warn where it lands in a file that others can read."""
    try:
        status = os.fstat(sys.stdout.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            click.echo(
                "fs-tunnel: warning: others can read the file of this key; use umask 077", err=True
            )
    except (OSError, ValueError):
        pass  # standard output is no file
    except AttributeError:  # Python's stand-in for a closed descriptor
        raise UsageError("standard output is closed; write the key into a file") from None
    click.echo(text)


def read_private_key() -> PrivateKey:
    """The key on standard input: never an argument, since arguments are public."""
    # Bytes, since what is piped in by mistake need not be text; None where it is closed.
    raw = sys.stdin.buffer.read(_MAX_INPUT) if sys.stdin else b""
    text = raw.decode("ascii", "replace").strip()
    if not text:
        raise UsageError("no key on standard input; fs-tunnel pubkey < PRIVATE_KEY_FILE")
    return PrivateKey.from_base64(text)
