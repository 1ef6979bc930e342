# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the API and the page share: answers to questions, and the session of the visitor."""

import json
import secrets
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import BaseModel

from fs_net.core.matching import Match
from fs_net.fullnode.catalogue import Catalogue, Change, Orders, ProviderView, Token
from fs_net.fullnode.http import shield
from fs_net.fullnode.http.answers import Answer, Recent
from fs_net.fullnode.http.describe import Describer, checksummed, parse_address
from fs_net.fullnode.http.events import Events
from fs_net.fullnode.http.problems import Problem
from fs_net.fullnode.http.query import Search
from fs_net.fullnode.http.settings import ServerSettings
from fs_net.fullnode.http.sign_in import ENTROPY, SESSION_LIFETIME, Recover, SignIn
from fs_net.fullnode.http.visitors import Visitors

JSON = "application/json"
_COOKIE = "fs_session"
_MOST_ANSWERS = 512
_MOST_SEARCHES = 8  # each may hold all providers


class Site:
    """The catalogue of a full node, and everything between it and visitors."""

    def __init__(
        self,
        catalogue: Catalogue,
        orders: Orders | None,
        token: Token,
        recover: Recover,
        settings: ServerSettings,
        now: Callable[[], int],
    ) -> None:
        """``orders`` is None if no chain is followed; ``now`` gives ms since the epoch."""
        self.catalogue, self.orders, self.token = catalogue, orders, token
        self.settings, self.now = settings, now
        self.describer = Describer(token, settings.network)
        self.visitors = Visitors(settings.limits, time.monotonic)
        self.sign_in = SignIn(settings.site, recover, secrets.token_bytes(32))
        self.events = Events(
            catalogue,
            self._change,
            secrets.token_hex(4),
            settings.limits.listeners,
            settings.limits.listeners_each,
        )
        self._answers: Recent[Answer] = Recent(catalogue, time.monotonic, _MOST_ANSWERS)
        self._matches: Recent[Sequence[Match]] = Recent(catalogue, time.monotonic, _MOST_SEARCHES)

    async def answer(
        self, request: Request, question: Hashable, make: Callable[[], Coroutine[Any, Any, Answer]]
    ) -> Response:
        """Send a recent answer or a new one; send 304 if the visitor has the answer already."""
        host = shield.visitor(request)
        answer = await self._answers.get(question, make, lambda: self.visitors.search(host))
        headers = {**dict(answer.headers), "ETag": answer.etag}
        if _has(request.headers.get("if-none-match", ""), answer.etag):
            return Response(status_code=304, headers=headers)
        return Response(answer.body, answer.status, headers=headers, media_type=answer.media_type)

    async def matches(self, search: Search) -> Sequence[Match]:
        """Return all matching providers, ranked; the pages of one search share the result."""
        wishes = search.wishes(self.token)

        async def make() -> Sequence[Match]:
            return self.catalogue.search(wishes, search.order)

        return await self._matches.get((wishes, search.order), make)

    def view(self, text: str) -> ProviderView:
        """Return the provider with this address; raises Problem if there is none."""
        address = parse_address(text)
        if address is None:
            raise Problem(404, "this is not an address; copy 0x and 40 hexadecimal digits")
        view = self.catalogue.provider(address)
        if view is None:
            raise Problem(
                404,
                "no provider with this address has a valid record here; look at the list, or ask "
                "another full node",
            )
        return view

    def account(self, request: Request) -> bytes | None:
        """Return the account that signed in, or None."""
        session = request.cookies.get(_COOKIE, "")
        return self.sign_in.account_of(session, self.now() // 1000) if session else None

    def message(self, request: Request, address: str) -> str:
        """Return the message that the account at ``address`` has to sign."""
        self.visitors.sign_in(shield.visitor(request))
        account = parse_address(address)
        if account is None:
            raise Problem(422, "this is not an address; copy 0x and 40 hexadecimal digits")
        return self.sign_in.message(account, self.now() // 1000, secrets.token_bytes(ENTROPY))

    def open_session(
        self, request: Request, response: Response, message: str, signature: str
    ) -> bytes:
        """Sign in, and set a cookie that only this site receives and that no script can read."""
        self.check_origin(request)
        self.visitors.sign_in(shield.visitor(request))
        now = self.now() // 1000
        account = self.sign_in.accept(message, signature, now)
        response.set_cookie(
            _COOKIE,
            self.sign_in.open_session(account, now, secrets.token_bytes(ENTROPY)),
            max_age=SESSION_LIFETIME,
            httponly=True,
            samesite="strict",
            secure=self.settings.is_https,
        )
        return account

    def close_session(self, request: Request, response: Response) -> None:
        """Sign out."""
        self.check_origin(request)
        self.sign_in.close_session(request.cookies.get(_COOKIE, ""))
        response.delete_cookie(
            _COOKIE, httponly=True, samesite="strict", secure=self.settings.is_https
        )

    def check_origin(self, request: Request) -> None:
        """Refuse requests of other sites, which must not sign anybody in or out."""
        origin = request.headers.get("origin")
        if origin is not None and origin != self.settings.site.origin:
            raise Problem(
                403, f"the request came from another site; open {self.settings.site.origin}"
            )

    def _change(self, change: Change) -> bytes:
        view = self.catalogue.provider(change.provider)
        said: dict[str, object] = {"provider": checksummed(change.provider)}
        if view is not None:
            said |= self.describer.liveness(view.candidate)
        return json.dumps(said).encode()


def json_answer(said: BaseModel, links: Sequence[tuple[str, str]] = ()) -> Answer:
    """Make an answer of the API; ``links`` are URLs and their relations (RFC 8288)."""
    text = ", ".join(f'<{url}>; rel="{relation}"' for url, relation in links)
    return Answer(said.model_dump_json().encode(), JSON, (("Link", text),) if links else ())


def page_links(path: str, search: Search, total: int) -> list[tuple[str, str]]:
    """Return the links to the previous and the next page."""
    found = []
    if search.skip:
        found.append((search.skip - search.limit, "prev"))
    if search.skip + search.limit < total:
        found.append((search.skip + search.limit, "next"))
    return [(url(path, search, skip=max(0, skip)), relation) for skip, relation in found]


def url(path: str, search: Search, **other: object) -> str:
    """Return a path with the search as its query."""
    words = urlencode(search.words(**other))
    return f"{path}?{words}" if words else path


def _has(header: str, etag: str) -> bool:
    """Compare If-None-Match weakly (RFC 9110, 13.1.2)."""
    return header.strip() == "*" or any(
        each.strip().removeprefix("W/") == etag for each in header.split(",")
    )
