"""QR codes of configurations, which WireGuard's apps read; they hold the private key."""

import io
import sys
from pathlib import Path

import segno

from fs_tunnel.console.private_file import write_privately
from fs_wire.errors import UsageError

KINDS = ("png", "svg")


def qr_code(text: str) -> segno.QRCode:
    """UsageError where the text is too large for one."""
    try:
        return segno.make_qr(text, error="l", boost_error=False)
    except segno.DataOverflowError:
        raise UsageError("too large for a QR code; leave out peers, or copy the file") from None


def show(code: segno.QRCode) -> None:
    """On the terminal."""
    code.terminal(out=sys.stdout, compact=True)


def write_picture(code: segno.QRCode, path: Path, kind: str) -> None:
    """A picture of one of ``KINDS``, which only its owner can read."""
    picture = io.BytesIO()
    code.save(picture, kind=kind, scale=8, light="white")
    write_privately(path, picture.getvalue())
