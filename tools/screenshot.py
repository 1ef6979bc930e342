# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Take a picture of a full node's page: ``python -m tools.screenshot URL FILE.png``."""

import argparse
from pathlib import Path

from tools.browser import DESKTOP, PHONE, browser

_DEADLINE = 20_000  # ms


def take(
    url: str,
    file: Path,
    *,
    size: tuple[int, int] = DESKTOP,
    is_dark: bool = False,
    is_whole: bool = False,
) -> None:
    """Write a PNG of the page at ``url``; ``is_whole`` includes what is below the window."""
    with browser() as chromium, chromium.context(size, is_dark=is_dark) as context:
        page = context.new_page()
        page.set_default_timeout(_DEADLINE)
        # The page's events keep a connection open, so the network never becomes idle.
        page.goto(url, wait_until="load")
        file.write_bytes(page.screenshot(full_page=is_whole, animations="disabled"))


def main() -> None:
    """Take the picture that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--phone", action="store_true")
    parser.add_argument("--whole", action="store_true", help="include what is below the window")
    chosen = parser.parse_args()
    take(
        chosen.url,
        chosen.file,
        size=PHONE if chosen.phone else DESKTOP,
        is_dark=chosen.dark,
        is_whole=chosen.whole,
    )


if __name__ == "__main__":
    main()
