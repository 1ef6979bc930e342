# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The ASGI application of a full node: its API and its page."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from fs_net.fullnode.catalogue import Catalogue, Orders, Token
from fs_net.fullnode.http import api, shield, web
from fs_net.fullnode.http.problems import Problem
from fs_net.fullnode.http.settings import ServerSettings
from fs_net.fullnode.http.shield import Shield
from fs_net.fullnode.http.sign_in import Recover
from fs_net.fullnode.http.site import Site


def create_app(
    catalogue: Catalogue,
    orders: Orders | None,
    token: Token,
    recover: Recover,
    settings: ServerSettings,
    now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> ASGIApp:
    """Make the application; ``recover`` returns the signer of a message, see ``SignIn``.

    ``orders`` is None if the full node follows no chain. Then nobody can sign in.
    """
    site = Site(catalogue, orders, token, recover, settings, now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        telling = asyncio.create_task(site.events.run())
        try:
            yield
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling

    app = FastAPI(
        title="FlowShield full node",
        version="1",
        description=_DESCRIPTION,
        openapi_url=f"{api.PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's pages would load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.include_router(api.router(site))
    pages = web.Pages(site)
    app.include_router(pages.router())
    app.mount("/static", web.static())

    async def tell(request: Request, problem: Problem) -> Response:
        is_page = not request.url.path.startswith(api.PREFIX)
        return pages.problem(problem) if is_page else shield.respond(problem)

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return await tell(request, problem)

    @app.exception_handler(RequestValidationError)
    async def on_bad_request(request: Request, error: RequestValidationError) -> Response:
        return await tell(request, Problem(422, web.explain(error.errors())))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        remedy = _REMEDIES.get(error.status_code, str(error.detail))
        return await tell(request, Problem(error.status_code, remedy))

    @app.exception_handler(Exception)
    async def on_defect(request: Request, _: Exception) -> Response:
        return await tell(request, Problem(500, _REMEDIES[500]))

    return Shield(app, site.visitors)


_REMEDIES = {
    500: "the full node has a defect, which is in its log; try again later, or ask another one",
    404: "there is no such page; begin at /, or see /api/v1/openapi.json",
    405: "this path does not allow that method; see /api/v1/openapi.json",
    400: f"the request could not be read; send JSON of at most {shield.MAX_BODY} bytes",
}
_DESCRIPTION = """\
The providers that this full node knows, and what they signed. You don't have to trust the full
node: check the signatures with the keys in the Registry on the chain. A full node can withhold
providers, but it cannot invent them.

Times are ms since the epoch. Amounts are base units in a string. Answers are at most a second old
and have an ETag. Errors are `application/problem+json`, and their `detail` says what to do.
"""
