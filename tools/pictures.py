"""Take the pictures of the page in docs/, of an example: ``python -m tools.pictures``.

The providers are those of the page's tests, so that the pictures are the same each time.
"""

from tests.net.http.fair import fair
from tests.net.http.stage import served
from tests.netns.topology import REPOSITORY
from tools.browser import PHONE
from tools.screenshot import take

_PROVIDERS = 120
_TALL = (1280, 1420)  # so that the first of the list are in it


def main() -> None:
    """Desktop, by day and by night, and a phone."""
    docs = REPOSITORY / "docs"
    catalogue, _ = fair(_PROVIDERS)
    with served(catalogue) as url:
        take(url, docs / "page.png", size=_TALL)
        take(url, docs / "page-dark.png", size=_TALL, is_dark=True)
        take(url, docs / "page-phone.png", size=PHONE)


if __name__ == "__main__":
    main()
