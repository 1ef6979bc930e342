# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The page: this code renders it completely; a script only adds live status and buttons."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.staticfiles import StaticFiles

from fs_net.core.matching import Order, best_weights
from fs_net.fullnode.http import describe, plots, rows
from fs_net.fullnode.http.answers import Answer
from fs_net.fullnode.http.countries import MAP_HEIGHT, MAP_WIDTH, countries
from fs_net.fullnode.http.problems import Problem
from fs_net.fullnode.http.query import Search, Span
from fs_net.fullnode.http.site import Site, page_links, url

_HTML = "text/html; charset=utf-8"
_MANY = ("country", "service", "port")  # parameters that may be repeated
_PRIVATE = {"Cache-Control": "private, no-store"}
_SPAN = Span()
_WHERE = ("query", "path", "body")
_MOST_ERRORS = 5
_MAX_ORDERS = 200


class Pages:
    """The page of a full node."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._templates = Environment(
            loader=PackageLoader("fs_net.fullnode.http", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "token": site.token,
            "plots": plots,
            "has_orders": site.orders is not None,
        }

    def router(self) -> APIRouter:
        """The page's paths, which the API's description leaves out."""
        router = APIRouter(include_in_schema=False)
        router.get("/")(self._list)
        router.get("/providers/{address}")(self._provider)
        router.get("/network")(self._network)
        if self._site.orders is not None:
            router.get("/orders")(self._orders)
            router.post("/orders/sign-in")(self._sign_in)
            router.post("/orders/sign-out")(self._sign_out)
        return router

    def problem(self, problem: Problem) -> Response:
        """Show an error as a page."""
        body = self._render("problem.html", problem=problem)
        return Response(body, problem.status, headers=problem.headers, media_type=_HTML)

    async def _list(self, request: Request) -> Response:
        search = page_search(request.query_params)
        site = self._site

        async def make() -> Answer:
            found, now = await site.matches(search), site.catalogue.statistics()
            shown = found[search.skip : search.skip + search.limit]
            return self._page(
                "providers.html",
                search=search,
                statistics=rows.summary(now, site.token),
                circles=rows.circles(now, search.country),
                map_size=(MAP_WIDTH, MAP_HEIGHT),
                choices=rows.choices(now, search),
                orders=tuple(Order),
                order_url=lambda order: url("/", search, order=Order(order), skip=0),
                country_url=lambda code: url("/", search, country=(code,), skip=0) + "#list",
                rows=rows.rows(shown, site.token),
                total=len(found),
                links={relation: link for link, relation in page_links("/", search, len(found))},
                command=rows.discovery_command(search, shown, site.token) if shown else "",
                names=countries(),
            )

        return await site.answer(request, ("page", search), make)

    async def _provider(self, request: Request, address: str) -> Response:
        site = self._site
        view = site.view(address)
        provider = view.candidate.provider

        async def make() -> Answer:
            now, catalogue = site.now(), site.catalogue
            since = _SPAN.since(now)
            uptime = await catalogue.uptime(provider, since, _SPAN.step)
            prices = await catalogue.prices(provider, since)
            (row,) = rows.rows([rows.alone(view.candidate)], site.token)
            said = site.describer.provider(view)
            return self._page(
                "provider.html",
                row=row,
                said=said,
                since=since,
                now=now,
                step=_SPAN.step,
                uptime=uptime,
                gib_prices=[(max(each.start, since), each.per_gib) for each in prices],
                price_table=site.describer.prices(prices).prices[::-1],
                reasons=await self._reasons(provider),
                command=rows.command(row),
                # A WireGuard app cannot punch holes, so the provider must be reachable.
                prepay_command=rows.prepay_command(row) if said.sales else "",
            )

        return await site.answer(request, ("page", provider), make)

    async def _network(self, request: Request) -> Response:
        site = self._site

        async def make() -> Answer:
            now = site.now()
            found = site.catalogue.statistics()
            moments = await site.catalogue.history(_SPAN.since(now), _SPAN.step)
            return self._page(
                "network.html",
                statistics=rows.summary(found, site.token),
                countries=rows.country_bars(found),
                moments=moments,
                now=now,
                curves=rows.curves(moments, site.token),
            )

        return await site.answer(request, "network page", make)

    async def _orders(self, request: Request) -> Response:
        site = self._site
        account = site.account(request)
        said, columns = None, []
        if account is not None and site.orders is not None:
            found = await site.orders.of(account)
            said = site.describer.orders(account, found, _MAX_ORDERS)
            columns = [
                rows.aligned([amount(each) for each in found[:_MAX_ORDERS]], site.token)
                for amount in (attrgetter("deposit"), attrgetter("claimed"), attrgetter("refunded"))
            ]
        body = self._render("orders.html", said=said, columns=columns, site=site.settings.site)
        return Response(body, headers=_PRIVATE, media_type=_HTML)

    async def _sign_in(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
        message, signature = _split_proof(form.get("proof", [""])[0])
        response = RedirectResponse("/orders", 303, headers=_PRIVATE)
        self._site.open_session(request, response, message, signature)
        return response

    async def _sign_out(self, request: Request) -> Response:
        response = RedirectResponse("/orders", 303, headers=_PRIVATE)
        self._site.close_session(request, response)
        return response

    async def _reasons(self, provider: bytes) -> list[tuple[str, int, float]]:
        """Return the parts of its score among all providers: weights and shares, in percent."""
        found = await self._site.matches(Search())
        mine = next((each for each in found if each.candidate.provider == provider), None)
        if mine is None:
            return []
        return [
            (facet.value, weight, mine.facets[facet] / describe.PERCENT)
            for facet, weight in best_weights()
        ]

    def _page(self, template: str, **what: Any) -> Answer:
        return Answer(self._render(template, **what).encode(), _HTML)

    def _render(self, template: str, **what: Any) -> str:
        return self._templates.get_template(template).render(**what)


def static() -> StaticFiles:
    """Serve style, script and map."""
    return StaticFiles(directory=Path(__file__).parent / "static")


def page_search(params: QueryParams) -> Search:
    """Parse a form; empty fields count as missing. Raises Problem if it is invalid."""
    said: dict[str, Any] = {}
    for name, value in params.multi_items():
        if value and name in _MANY:
            said.setdefault(name, []).append(value)
        elif value:
            said[name] = value.strip()
    try:
        return Search.model_validate(said)
    except ValidationError as error:
        raise Problem(422, explain(error.errors())) from None


def explain(errors: Sequence[Mapping[str, Any]]) -> str:
    """Say what pydantic found wrong, by parameter; the values themselves are not repeated."""
    return "; ".join(
        f"{'.'.join(str(each) for each in error['loc'] if each not in _WHERE)}: {error['msg']}"
        for error in errors[:_MOST_ERRORS]
    )


def _split_proof(text: str) -> tuple[str, str]:
    """Split what ``fs-tunnel wallet sign-in`` prints: the message, and last the signature."""
    message, _, signature = text.replace("\r\n", "\n").strip().rpartition("\n")
    return message.rstrip("\n"), signature
