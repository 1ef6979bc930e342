# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Take the pictures of an example page for docs/: ``python -m tools.pictures``.

The providers come from the page's tests, so the pictures are the same each time.
"""

from tests.net.http.fair import fair
from tests.net.http.stage import served
from tests.netns.topology import REPOSITORY
from tools.browser import PHONE
from tools.screenshot import take

_PROVIDERS = 120
_TALL = (1280, 1420)  # high enough to show the first providers of the list


def main() -> None:
    """Take a desktop's page in light and dark mode, and a phone's."""
    docs = REPOSITORY / "docs"
    catalogue, _ = fair(_PROVIDERS)
    with served(catalogue) as url:
        take(url, docs / "page.png", size=_TALL)
        take(url, docs / "page-dark.png", size=_TALL, is_dark=True)
        take(url, docs / "page-phone.png", size=PHONE)


if __name__ == "__main__":
    main()
