# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The HTTP API and page of a full node: its address, its orders, and its sign-in."""

import asyncio
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.settings import MarketSettings
from fs_net.fullnode.catalogue import Catalogue, Token
from fs_tunnel.roles.fullnode.order_index import OrderIndex
from fs_tunnel.roles.fullnode.sign_in import recover
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint

_PACKAGES = "fastapi", "httptools", "jinja2", "uvicorn"


@dataclass(frozen=True, slots=True)
class Page:
    """The listening socket, the page's public name, and the reverse proxy before it."""

    listener: socket.socket
    origin: str
    proxy: str | None

    @classmethod
    def open(cls, api: str, origin: str | None, proxy: str | None) -> "Page":
        """Open the page at ``api``; UsageError if a text is wrong, or if the address is taken."""
        missing = [name for name in _PACKAGES if find_spec(name) is None]
        if missing:
            raise UsageError(
                f"{', '.join(missing)} is not installed; run: pip install 'flowshield[network]'"
            )
        # It imports a web framework, which no other verb needs.
        from fs_net.fullnode.http.server import listen  # noqa: PLC0415

        place = Endpoint.parse(api)
        if proxy is not None:
            proxy = _address(proxy)
        checked = _origin(place, origin)
        try:
            return cls(listen(place.ip, place.port), checked, proxy)
        except OSError as error:
            raise UsageError(f"--api {api}: {error.strerror}; name another address") from None

    async def serve(
        self, catalogue: Catalogue, chain: Chain, market: MarketSettings, network: bytes
    ) -> None:
        """Serve until cancelled; ChainError if the chain node fails at first."""
        from fs_net.fullnode.http.app import create_app  # noqa: PLC0415
        from fs_net.fullnode.http.server import serve  # noqa: PLC0415
        from fs_net.fullnode.http.settings import ServerSettings  # noqa: PLC0415
        from fs_net.fullnode.http.sign_in import Site  # noqa: PLC0415

        token = await Erc20(chain, market.token).describe()
        orders = OrderIndex(chain, Channels(chain, market.channels), market.since)
        settings = ServerSettings(Site(self.origin, market.chain_id), network, self.proxy)
        shown = Token(token.symbol, token.decimals)
        app = create_app(catalogue, orders, shown, recover, settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(orders.follow())
            group.create_task(serve(app, self.listener, settings))


def _origin(place: Endpoint, origin: str | None) -> str:
    if origin is None:
        if ip_address(place.ip).is_unspecified:
            raise UsageError(f"--api {place} stands for many addresses; name one with --origin URL")
        return f"http://{place}"
    parts = urlsplit(origin)
    if origin != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in ("http", "https"):
        raise UsageError("--origin is no origin; write https://node.example, without a path")
    return origin


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise UsageError(f"--proxy {text!r} is no address; write 127.0.0.1") from None
