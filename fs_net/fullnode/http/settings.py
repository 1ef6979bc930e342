"""How a full node's API and page are served."""

from dataclasses import dataclass, field

from fs_net.fullnode.http.sign_in import Site
from fs_net.fullnode.http.visitors import Limits


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``network`` is ``records.network_id``; ``site`` is what a wallet signs in to.

    ``proxy`` is the address of a reverse proxy whose X-Forwarded-For is believed, nobody's else.
    """

    site: Site
    network: bytes
    proxy: str | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def is_https(self) -> bool:
        """Whether cookies are for encrypted connections alone."""
        return self.site.origin.startswith("https://")
