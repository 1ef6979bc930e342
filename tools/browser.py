# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Debian's Chromium without a window, run as an unprivileged user in its own sandbox.

It can reach only loopback, because every other host name is made to fail.
"""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Playwright, sync_playwright

DESKTOP, PHONE = (1280, 900), (390, 844)
_NOBODY = "nobody"
_ARGUMENTS = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-default-browser-check",
)


class Browser:
    """Starts browser contexts that share nothing."""

    def __init__(self, playwright: Playwright, folder: Path) -> None:
        self._playwright, self._folder = playwright, folder
        self._program = _as_nobody(folder)

    @contextmanager
    def context(
        self,
        size: tuple[int, int] = DESKTOP,
        *,
        is_dark: bool = False,
        has_script: bool = True,
    ) -> Iterator[BrowserContext]:
        """Open a new profile; a narrow one is a phone's."""
        profile = Path(tempfile.mkdtemp(dir=self._folder))
        _give_to_nobody(profile)
        width, height = size
        context = self._playwright.chromium.launch_persistent_context(
            profile,
            executable_path=self._program,
            chromium_sandbox=True,
            headless=True,
            args=list(_ARGUMENTS),
            viewport={"width": width, "height": height},
            is_mobile=width < 600,
            has_touch=width < 600,
            device_scale_factor=2 if width < 600 else 1,
            color_scheme="dark" if is_dark else "light",
            java_script_enabled=has_script,
            env={**os.environ, "HOME": str(profile)},
        )
        try:
            yield context
        finally:
            context.close()


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium; raises FileNotFoundError if it is not installed."""
    if shutil.which("chromium") is None:
        raise FileNotFoundError("chromium is not installed; run as root: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with sync_playwright() as playwright:
            yield Browser(playwright, Path(folder))


def _as_nobody(folder: Path) -> str:
    """Return a program that starts Chromium as nobody, because its sandbox refuses root."""
    program = shutil.which("chromium")
    assert program is not None
    if os.geteuid() != 0:
        return program
    nobody = pwd.getpwnam(_NOBODY)
    wrapper = folder / "chromium"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"exec setpriv --reuid {nobody.pw_uid} --regid {nobody.pw_gid} --clear-groups -- "
        f'{program} "$@"\n'
    )
    wrapper.chmod(0o755)
    return str(wrapper)


def _give_to_nobody(profile: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam(_NOBODY)
        os.chown(profile, nobody.pw_uid, nobody.pw_gid)
