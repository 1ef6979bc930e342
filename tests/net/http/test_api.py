# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The answers of the API."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from fs_net.core.records import Heartbeat, ProviderRecord, parse_untrusted
from fs_net.fullnode.http.visitors import Limits
from tests.net.http.conftest import House
from tests.net.http.fair import fair
from tests.net.world import NETWORK
from tests.walks import examples

BASE = "/api/v1"


def ask(house: House, path: str, **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        async with house.visited() as visitor:
            return await visitor.get(path, headers=headers)

    return asyncio.run(run())


def address_of(house: House, number: int = 0) -> str:
    return "0x" + house.providers[number].address.hex()


def test_filters_are_those_of_matching(house: House) -> None:
    said = ask(
        house,
        f"{BASE}/providers?country=DE&country=US&country=GB&max_per_gib=0.09+USDC&min_uptime=98"
        "&service=exit&service=relay&port=443&order=price&limit=200",
    ).json()
    rows = said["providers"]
    assert said["total"] == len(rows) > 0
    assert {each["country"] for each in rows} <= {"DE", "US", "GB"}
    assert all(int(each["price_per_gib"]["units"]) <= 90_000 for each in rows)
    assert all(each["uptime"] >= 98 and "relay" in each["services"] for each in rows)
    prices = [
        int(each["price_per_gib"]["units"]) + int(each["price_per_hour"]["units"]) for each in rows
    ]
    assert prices == sorted(prices)


def test_a_refused_port_leaves_a_provider_out(house: House) -> None:
    everybody = ask(house, f"{BASE}/providers?limit=1").json()["total"]
    mailers = ask(house, f"{BASE}/providers?port=25&limit=200").json()
    assert 0 < mailers["total"] < everybody
    assert all(each["refused_ports"] == [] for each in mailers["providers"])


def test_silent_and_full_ones_are_found_by_who_wants_no_place(house: House) -> None:
    usual = ask(house, f"{BASE}/providers?limit=200").json()["providers"]
    everybody = ask(house, f"{BASE}/providers?limit=200&min_free_slots=0").json()["providers"]
    assert all(each["live"] and each["free_slots"] > 0 for each in usual)
    assert any(not each["live"] and each["heard_at"] is None for each in everybody)


def test_pages_follow_each_other_by_links(house: House) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            seen, path = [], f"{BASE}/providers?limit=7&min_free_slots=0"
            while path:
                answer = await visitor.get(path)
                seen += [each["address"] for each in answer.json()["providers"]]
                path = answer.links.get("next", {}).get("url", "")
            assert len(seen) == len(set(seen)) == answer.json()["total"] == 60
            assert answer.links["prev"]["url"].endswith("min_free_slots=0&skip=49&limit=7")

    asyncio.run(run())


def test_what_was_signed_is_there_to_be_checked(house: House) -> None:
    provider = house.providers[0]
    said = ask(house, f"{BASE}/providers/{address_of(house)}").json()
    signed = said["signed"]
    assert bytes.fromhex(signed["network"]) == NETWORK
    record = parse_untrusted(ProviderRecord, bytes.fromhex(signed["record"]))
    record.check(bytes(provider.keys.node.verify_key), NETWORK)
    heartbeat = parse_untrusted(Heartbeat, bytes.fromhex(signed["heartbeat"]))
    heartbeat.check(bytes(provider.keys.heartbeat.verify_key), NETWORK)
    assert said["node_key"] == bytes(provider.keys.node.verify_key).hex()
    # This follows the description, without our code.
    raw = bytes.fromhex(signed["record"])
    covered = b"flowshield provider record\0" + bytes.fromhex(signed["network"]) + raw[64:]
    VerifyKey(bytes.fromhex(said["node_key"])).verify(covered, raw[:64])


def test_a_list_has_the_signed_bytes_on_demand(house: House) -> None:
    rows = ask(house, f"{BASE}/providers?limit=3&signed=true").json()["providers"]
    assert all(parse_untrusted(ProviderRecord, bytes.fromhex(r["signed"]["record"])) for r in rows)
    assert ask(house, f"{BASE}/providers?limit=1").json()["providers"][0]["signed"] is None


def test_addresses_are_checksummed_and_found_in_any_case(house: House) -> None:
    lower = address_of(house)
    said = ask(house, f"{BASE}/providers/{lower}").json()["address"]
    assert said.lower() == lower
    assert said != lower
    assert ask(house, f"{BASE}/providers/{said}").status_code == 200


def test_histories_stay_within_their_span(house: House) -> None:
    address = address_of(house)
    uptime = ask(house, f"{BASE}/providers/{address}/uptime?days=7").json()
    assert 0 < len(uptime["intervals"]) <= 100
    starts = [each["start"] for each in uptime["intervals"]]
    assert all(b - a == uptime["step"] for a, b in itertools.pairwise(starts))
    assert ask(house, f"{BASE}/providers/{address}/prices").json()["prices"]
    moments = ask(house, f"{BASE}/statistics/history?days=90").json()["moments"]
    assert 0 < len(moments) <= 100


def test_statistics_count_what_is_live(house: House) -> None:
    said = ask(house, f"{BASE}/statistics").json()
    assert said["providers"] == 60
    assert said["live"] == sum(each["providers"] for each in said["countries"])


def test_who_has_an_answer_is_told_so(house: House) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            for path in (f"{BASE}/providers?limit=5", f"{BASE}/statistics", "/"):
                etag = (await visitor.get(path)).headers["etag"]
                for known in (etag, f'W/{etag}, "else"', "*"):
                    again = await visitor.get(path, headers={"If-None-Match": known})
                    assert (again.status_code, again.content) == (304, b"")
                    assert again.headers["etag"] == etag
                other = await visitor.get(path, headers={"If-None-Match": '"else"'})
                assert other.status_code == 200

    asyncio.run(run())


def test_another_answer_has_another_etag(house: House) -> None:
    path = f"{BASE}/statistics"
    before = ask(house, path).headers["etag"]
    house.catalogue.silence(house.providers[0])
    after = ask(house, path, **{"If-None-Match": before})
    assert after.status_code == 200
    assert after.headers["etag"] != before


def test_one_search_serves_all_who_ask_at_once(house: House) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            paths = [f"{BASE}/providers?limit=5&skip={skip}" for skip in (0, 5, 0, 10)]
            await asyncio.gather(*map(visitor.get, paths))

    asyncio.run(run())
    assert house.catalogue.asked["search"] == 1


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("skip=-1", "skip"),
        ("country=Germany", "country"),
        ("country=de", "country"),
        ("max_per_gib=free", "0.05 USDC"),
        ("max_per_gib=0.0000001", "6 decimals"),
        ("max_per_gib=1 EUR", "USDC"),
        ("max_per_gib=1e5", "USDC"),
        ("max_per_hour=" + "9" * 55, "at most"),
        ("min_uptime=101", "min_uptime"),
        ("min_uptime=nan", "min_uptime"),
        ("port=65536", "port"),
        ("order=cheap", "order"),
        ("service=mining", "service"),
        ("colour=red", "colour"),
        ("&".join(["country=DE"] * 33), "country"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(house: House, query: str, word: str) -> None:
    answer = ask(house, f"{BASE}/providers?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]
    assert house.catalogue.asked["search"] == 0


@pytest.mark.parametrize(
    "address", ["0x12", "0x" + "g" * 40, "0x" + "00" * 20, "%00", "0x+1" + "0" * 38]
)
def test_an_unknown_provider_is_no_defect(house: House, address: str) -> None:
    for path in ("", "/uptime", "/prices"):
        answer = ask(house, f"{BASE}/providers/{address}{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


_NAMES = st.sampled_from(
    (
        *("country", "max_per_gib", "max_per_hour", "min_uptime", "min_free_slots", "service"),
        *("port", "order", "skip", "limit", "signed", "days", "x"),
    )
) | st.text(max_size=8)
_VALUES = st.text(max_size=40) | st.integers().map(str) | st.floats().map(str)
_HOUSE = House(*fair(12))


@given(
    st.sampled_from([f"{BASE}/providers", f"{BASE}/statistics/history", f"{BASE}/events", "/"]),
    st.lists(st.tuples(_NAMES, _VALUES), min_size=1, max_size=6) | st.binary(max_size=60),
)
@settings(max_examples=examples(80))
def test_no_query_makes_a_defect(path: str, query: list[tuple[str, str]] | bytes) -> None:
    if path.endswith("events"):
        query = [("provider", "0x"), *(query if isinstance(query, list) else [])]
    text = query.hex() if isinstance(query, bytes) else urlencode(query, errors="surrogatepass")
    assert ask(_HOUSE, f"{path}?{text}").status_code in (200, 422)


def test_too_much_is_refused_before_it_is_read(house: House) -> None:
    async def run() -> None:
        async with house.visited() as visitor:
            long = await visitor.get(f"{BASE}/providers?x=" + "y" * 20_000)
            assert (long.status_code, long.json()["status"]) == (414, 414)
            large = await visitor.post(f"{BASE}/sign-in", content=b"x" * 9000)
            assert large.status_code == 413

            async def trickle() -> AsyncIterator[bytes]:  # without a length
                for _ in range(100):
                    yield b"x" * 1000

            unknown = await visitor.post(f"{BASE}/sign-in", content=trickle())
            assert unknown.status_code == 400
            form = await visitor.post("/orders/sign-in", content=trickle())
            assert form.status_code == 413

    asyncio.run(run())


def test_one_address_may_ask_only_so_much(house: House) -> None:
    house.limits = Limits(requests=0.001, requests_burst=3)

    async def run() -> None:
        async with house.visited("192.0.2.1") as eve:
            answers = [await eve.get(f"{BASE}/statistics") for _ in range(4)]
            assert [each.status_code for each in answers] == [200, 200, 200, 429]
            assert answers[-1].headers["retry-after"] == "1000"
            forged = await eve.get(f"{BASE}/statistics", headers={"X-Forwarded-For": "192.0.2.9"})
            assert forged.status_code == 429

    asyncio.run(run())


def test_searches_cost_more_than_what_is_known(house: House) -> None:
    house.limits = Limits(searches=0.001, searches_burst=2)

    async def run() -> None:
        async with house.visited() as eve:
            paths = [f"{BASE}/providers?limit={limit}" for limit in (1, 2, 1, 2, 3)]
            statuses = [(await eve.get(each)).status_code for each in paths]
            assert statuses == [200, 200, 200, 200, 429]

    asyncio.run(run())


def test_browsers_are_told_to_be_strict(house: House) -> None:
    for path in ("/", f"{BASE}/providers", "/static/style.css", "/nothing", f"{BASE}/nothing"):
        headers = ask(house, path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "set-cookie" not in headers


def test_any_page_may_read_the_public_part_alone(house: House) -> None:
    assert ask(house, f"{BASE}/providers").headers["access-control-allow-origin"] == "*"
    for path in (f"{BASE}/orders", f"{BASE}/sign-in?address={address_of(house)}", "/"):
        assert "access-control-allow-origin" not in ask(house, path).headers

    async def run() -> None:
        async with house.visited() as visitor:
            asked = await visitor.options(f"{BASE}/providers")
            assert asked.status_code == 204
            assert "access-control-allow-credentials" not in asked.headers

    asyncio.run(run())


def test_openapi_describes_every_path(house: House) -> None:
    said = ask(house, f"{BASE}/openapi.json").json()
    assert set(said["paths"]) == {
        f"{BASE}{path}"
        for path in (
            *("/providers", "/providers/{address}", "/providers/{address}/uptime"),
            *("/providers/{address}/prices", "/statistics", "/statistics/history", "/events"),
            *("/sign-in", "/orders"),
        )
    }
    parameters = {each["name"] for each in said["paths"][f"{BASE}/providers"]["get"]["parameters"]}
    assert {"country", "max_per_gib", "signed", "limit"} <= parameters
    assert ask(house, "/docs").status_code == 404
