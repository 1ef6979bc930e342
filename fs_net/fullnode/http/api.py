# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The HTTP API, version 1; OpenAPI describes it at ``/api/v1/openapi.json``."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from fs_net.core.sources import source_of
from fs_net.fullnode.http import schemas, shield
from fs_net.fullnode.http.answers import Answer
from fs_net.fullnode.http.describe import parse_address
from fs_net.fullnode.http.events import MAX_WATCHED
from fs_net.fullnode.http.problems import MEDIA_TYPE, Problem
from fs_net.fullnode.http.query import Search, Span
from fs_net.fullnode.http.site import JSON, Site, json_answer, page_links

PREFIX = "/api/v1"
MAX_ORDERS = 500
_PRIVATE = {"Cache-Control": "private, no-store"}


class ListSearch(Search):
    """A search for providers through the API."""

    signed: bool = False


class Watch(BaseModel):
    """The providers whose events are sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: tuple[str, ...] = Field(default=(), max_length=MAX_WATCHED)


def router(site: Site) -> APIRouter:
    """All paths below ``/api/v1``."""
    api = APIRouter(prefix=PREFIX, responses=_PROBLEMS)
    _add_providers(api, site)
    _add_network(api, site)
    _add_account(api, site)
    return api


def _add_providers(api: APIRouter, site: Site) -> None:
    catalogue, describer = site.catalogue, site.describer

    @api.get("/providers", response_model=schemas.ProviderPage, tags=["providers"])
    async def providers(request: Request, search: Annotated[ListSearch, Query()]) -> Response:
        """Providers that match, the best first. Their facts come from what they signed."""

        async def make() -> Answer:
            found = await site.matches(search)
            rows = found[search.skip : search.skip + search.limit]
            said = schemas.ProviderPage(
                total=len(found),
                skip=search.skip,
                providers=tuple(describer.match(each, signed=search.signed) for each in rows),
            )
            return json_answer(said, page_links(f"{PREFIX}/providers", search, len(found)))

        return await site.answer(request, search, make)

    @api.get("/providers/{address}", response_model=schemas.ProviderDetail, tags=["providers"])
    async def provider(request: Request, address: str) -> Response:
        """Everything that is known about one provider, and what it signed."""
        view = site.view(address)

        async def make() -> Answer:
            return json_answer(describer.provider(view))

        return await site.answer(request, ("provider", view.candidate.provider), make)

    @api.get(
        "/providers/{address}/uptime", response_model=schemas.UptimeHistory, tags=["providers"]
    )
    async def uptime(request: Request, address: str, span: Annotated[Span, Query()]) -> Response:
        """The share of the time in which heartbeats of the provider were heard."""
        provider = site.view(address).candidate.provider

        async def make() -> Answer:
            points = await catalogue.uptime(provider, span.since(site.now()), span.step)
            return json_answer(describer.uptime(points, span.step))

        return await site.answer(request, ("uptime", provider, span), make)

    @api.get("/providers/{address}/prices", response_model=schemas.PriceHistory, tags=["providers"])
    async def prices(request: Request, address: str, span: Annotated[Span, Query()]) -> Response:
        """The prices of the provider over time."""
        provider = site.view(address).candidate.provider

        async def make() -> Answer:
            return json_answer(
                describer.prices(await catalogue.prices(provider, span.since(site.now())))
            )

        return await site.answer(request, ("prices", provider, span), make)


def _add_network(api: APIRouter, site: Site) -> None:
    catalogue, describer = site.catalogue, site.describer

    @api.get("/statistics", response_model=schemas.Network, tags=["network"])
    async def statistics(request: Request) -> Response:
        """The network at present."""

        async def make() -> Answer:
            return json_answer(describer.statistics(catalogue.statistics()))

        return await site.answer(request, "statistics", make)

    @api.get("/statistics/history", response_model=schemas.NetworkHistory, tags=["network"])
    async def history(request: Request, span: Annotated[Span, Query()]) -> Response:
        """The network over time."""

        async def make() -> Answer:
            moments = await catalogue.history(span.since(site.now()), span.step)
            return json_answer(describer.history(moments, span.step))

        return await site.answer(request, ("history", span), make)

    @api.get(
        "/events",
        tags=["network"],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(request: Request, watch: Annotated[Watch, Query()]) -> Response:
        """Changes as they happen: server-sent events, which continue after `Last-Event-ID`.

        Without `provider`, you get `record`, `silent` and `gone` of all providers. If you name
        providers, you get these events and `heartbeat` of the named ones only. After `reset` you
        missed more than is kept: read the list again.
        """
        addresses = [parse_address(each) for each in watch.provider]
        if None in addresses:
            raise Problem(422, "provider: not an address; copy 0x and 40 hexadecimal digits")
        wanted = frozenset(each for each in addresses if each is not None)
        stream = site.events.listen(
            source_of(shield.visitor(request)),
            request.headers.get("last-event-id", ""),
            wanted or None,
        )
        return StreamingResponse(
            stream,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def _add_account(api: APIRouter, site: Site) -> None:
    @api.get("/sign-in", response_model=schemas.SignInMessage, tags=["account"])
    async def ask(request: Request, address: Annotated[str, Query(max_length=64)]) -> Response:
        """The message that a wallet signs to see its orders (EIP-4361)."""
        said = schemas.SignInMessage(message=site.message(request, address))
        return Response(said.model_dump_json(), headers=_PRIVATE, media_type=JSON)

    @api.post("/sign-in", response_model=schemas.SignedIn, tags=["account"])
    async def sign_in(request: Request, proof: schemas.SignInProof) -> Response:
        """Send the signed message; the answer sets a cookie."""
        response = Response(headers=_PRIVATE, media_type=JSON)
        account = site.open_session(request, response, proof.message, proof.signature)
        said = schemas.SignedIn(account=site.describer.orders(account, (), 0).account)
        response.body = said.model_dump_json().encode()
        response.headers["Content-Length"] = str(len(response.body))
        return response

    @api.delete("/sign-in", status_code=204, tags=["account"])
    async def sign_out(request: Request) -> Response:
        """End the session."""
        response = Response(status_code=204, headers=_PRIVATE)
        site.close_session(request, response)
        return response

    if site.orders is None:
        return
    orders_of = site.orders.of

    @api.get("/orders", response_model=schemas.AccountOrders, tags=["account"])
    async def orders(request: Request) -> Response:
        """The channels of the account that signed in, as they are on the chain."""
        account = site.account(request)
        if account is None:
            raise Problem(
                401, f"sign in first: GET {PREFIX}/sign-in?address=0x…, sign, and POST it"
            )
        said = site.describer.orders(account, await orders_of(account), MAX_ORDERS)
        return Response(said.model_dump_json(), headers=_PRIVATE, media_type=JSON)


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ProblemDetails, "content": {MEDIA_TYPE: {}}}
    for status in (404, 422, 429)
}
