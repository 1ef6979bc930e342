# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The outer layer of every answer: bounds, rates, and the security headers for browsers.

It is pure ASGI, so that a stream of events passes unbuffered.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fs_net.fullnode.http import problems
from fs_net.fullnode.http.problems import Problem
from fs_net.fullnode.http.visitors import Visitors

MAX_QUERY = 16_384  # bytes
MAX_BODY = 8192  # bytes
PUBLIC = "/api/v1/"  # no path here needs a cookie, so pages of any site may read it
_PRIVATE = ("/api/v1/orders", "/api/v1/sign-in")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Other sites get no referrer. With "no-referrer", our own forms would not send their origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "If-None-Match, Last-Event-ID",
    "Access-Control-Expose-Headers": "ETag, Link, Retry-After",
}


class Shield:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app, self._visitors = app, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request as ASGI defines it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_public = scope["path"].startswith(PUBLIC) and not scope["path"].startswith(_PRIVATE)

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if is_public:
                    headers.update(_CORS)
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-cache"
            await send(message)

        try:
            self._visitors.request(host_of(scope))
            _check(scope)
        except Problem as problem:
            await respond(problem)(scope, receive, send_shielded)
            return
        if is_public and scope["method"] == "OPTIONS":
            await Response(status_code=204)(scope, receive, send_shielded)
            return
        await self._app(scope, _bounded(receive), send_shielded)


def respond(problem: Problem) -> Response:
    """Turn a problem into an answer."""
    return Response(
        problem.body, problem.status, headers=problem.headers, media_type=problems.MEDIA_TYPE
    )


def host_of(scope: Scope) -> str:
    """Return the client's address from the server, or from the proxy that it trusts."""
    return scope["client"][0] if scope.get("client") else ""


def visitor(request: Request) -> str:
    """Return the client's address of a request."""
    return host_of(request.scope)


def _check(scope: Scope) -> None:
    if len(scope["query_string"]) > MAX_QUERY or len(scope["path"]) > MAX_QUERY:
        raise Problem(414, f"the URL is too long; ask for less than {MAX_QUERY} bytes at a time")
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > MAX_BODY:
        raise _too_long()


def _bounded(receive: Receive) -> Receive:
    """Bound the length of a body that does not announce its length."""
    left = MAX_BODY

    async def receive_bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise _too_long()
        return message

    return receive_bounded


def _too_long() -> Problem:
    return Problem(413, f"the request is too long; send at most {MAX_BODY} bytes")
