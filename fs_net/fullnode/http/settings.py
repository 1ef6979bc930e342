# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The settings of a full node's API and page."""

from dataclasses import dataclass, field

from fs_net.fullnode.http.sign_in import Site
from fs_net.fullnode.http.visitors import Limits


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``network`` is ``records.network_id``; a wallet signs in to ``site``.

    ``proxy`` is the address of a reverse proxy; only its X-Forwarded-For is believed.
    """

    site: Site
    network: bytes
    proxy: str | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def is_https(self) -> bool:
        """Whether browsers may send cookies over encrypted connections only."""
        return self.site.origin.startswith("https://")
