# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""QR codes of configurations for WireGuard's apps; such a code has the private key."""

import io
import sys
from pathlib import Path

import segno

from fs_tunnel.console.private_file import write_privately
from fs_wire.errors import UsageError

KINDS = ("png", "svg")


def qr_code(text: str) -> segno.QRCode:
    """A QR code of the text; UsageError if the text is too large."""
    try:
        return segno.make_qr(text, error="l", boost_error=False)
    except segno.DataOverflowError:
        raise UsageError(
            "the file is too large for a QR code; leave out peers, or copy the file"
        ) from None


def show(code: segno.QRCode) -> None:
    """Draw the code on the terminal."""
    code.terminal(out=sys.stdout, compact=True)


def write_picture(code: segno.QRCode, path: Path, kind: str) -> None:
    """Write a picture of one of ``KINDS``, which only its owner can read."""
    picture = io.BytesIO()
    code.save(picture, kind=kind, scale=8, light="white")
    write_privately(path, picture.getvalue())
