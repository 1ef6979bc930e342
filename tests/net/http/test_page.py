# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The page in Debian's Chromium, as people use it: with and without script, mouse or eyesight."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.net.http.fair import Book, Fair, fair, orders_of
from tests.net.http.stage import needed, served
from tests.net.http.wallets import personal_sign, wallet
from tests.net.world import Provider
from tests.walks import pairs_at_length
from tools.browser import DESKTOP, PHONE, Browser, browser
from tools.testing import patience
from tools.world_map import PACKAGES

DEADLINE = patience.seconds(20_000)  # ms
expect.set_options(timeout=DEADLINE)
# These URLs need no network, because they are data of the page itself.
LOOPBACK = re.compile(r"http://127\.0\.0\.1:\d+/")


@dataclass
class Scene:
    url: str
    catalogue: Fair
    providers: list[Provider]
    book: Book

    def live(self) -> Provider:
        """Return a provider on the list's first page."""
        return next(
            each
            for each in self.providers
            if self.catalogue.candidates[each.address].free_slots > 1
        )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    needed(Path(shutil.which("chromium") or "chromium"))
    with browser() as found:
        yield found


@pytest.fixture
def scene() -> Iterator[Scene]:
    catalogue, providers = fair(40)
    book = Book()
    with served(catalogue, book) as url:
        yield Scene(url, catalogue, providers, book)


@pytest.fixture(scope="module")
def axe() -> str:
    return needed(PACKAGES / "axe-core" / "axe.min.js").read_text()


def opened(context: BrowserContext, url: str) -> Page:
    """Open a page that fails its test if it has an error, or loads from elsewhere."""
    page = context.new_page()
    page.set_default_timeout(DEADLINE)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: faults.extend([asked.url][: not LOOPBACK.match(asked.url)]))
    page.goto(url, wait_until="load")
    assert faults == []
    return page


def row(page: Page, provider: Provider) -> str:
    address = provider.address.hex()
    return f'[data-provider="0x{address}" i]'


def pages(scene: Scene) -> list[str]:
    detail = "0x" + scene.providers[0].address.hex()
    return ["/", "/?country=DE&max_per_gib=0.001", f"/providers/{detail}", "/network", "/orders"]


@pytest.mark.parametrize(
    ("size", "is_dark"),
    [
        *((DESKTOP, False), (PHONE, True)),
        *pairs_at_length((DESKTOP, True), (PHONE, False)),
    ],
    ids=["desktop-light", "phone-dark", "desktop-dark", "phone-light"],
)
def test_axe_finds_nothing(
    chromium: Browser, scene: Scene, axe: str, size: tuple[int, int], is_dark: bool
) -> None:
    with chromium.context(size, is_dark=is_dark) as context:
        for path in pages(scene):
            page = opened(context, scene.url + path)
            # The debugger adds the script, because the page's policy allows no other script.
            page.evaluate(axe)
            for part in page.locator("summary").all():
                part.click()
            found = page.evaluate("axe.run({resultTypes: ['violations']})")
            told = [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
            assert told == [], path
            assert len(found["passes"]) > 10
            page.close()


def test_axe_would_find_something(chromium: Browser, scene: Scene, axe: str) -> None:
    with chromium.context() as context:
        page = opened(context, scene.url)
        page.evaluate(axe)
        page.evaluate(
            "document.querySelector('label').replaceWith(document.createElement('input'))"
        )
        found = page.evaluate("axe.run({resultTypes: ['violations']})")
        assert "label" in [each["id"] for each in found["violations"]]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_leaves_the_screen_sideways(
    chromium: Browser, scene: Scene, size: tuple[int, int]
) -> None:
    with chromium.context(size) as context:
        for path in pages(scene):
            page = opened(context, scene.url + path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], path
            page.close()


def test_all_can_be_read_without_script(chromium: Browser, scene: Scene) -> None:
    with chromium.context(has_script=False) as context:
        page = opened(context, scene.url)
        page.locator("select[name=country]").select_option("DE")
        page.get_by_label("Price of a GiB, at most (USDC)").fill("0.09")
        page.get_by_role("button", name="Show").click()
        assert "country=DE" in page.url
        expect(page.get_by_role("row").nth(1)).to_contain_text("Germany")
        command = re.compile("fs-tunnel up --country DE --max-price '0.09 USDC/GiB")
        expect(page.get_by_text(command)).to_be_visible()
        page.locator("tbody a").first.click()
        expect(page.get_by_text(re.compile("fs-tunnel up --provider 0x"))).to_be_visible()
        expect(page.get_by_text(re.compile("fs-tunnel market prepay .* --qr"))).to_be_visible()
        expect(page.get_by_text("You trust the provider with the whole budget")).to_be_visible()
        page.get_by_text("Keys and signed bytes").click()
        expect(page.get_by_text("WireGuard key")).to_be_visible()
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)


def test_status_changes_while_one_looks(chromium: Browser, scene: Scene) -> None:
    alice = scene.live()
    with chromium.context() as context:
        page = opened(context, scene.url + "/?limit=200")
        expect(page.get_by_text("Live: changes appear as they happen")).to_be_visible()
        found = page.locator(row(page, alice))
        scene.catalogue.hear(alice, 1)
        expect(found.locator("[data-free]")).to_have_text("1")
        scene.catalogue.hear(alice, 0)
        expect(found.locator("[data-state]")).to_have_text("Full")
        scene.catalogue.silence(alice)
        expect(found.locator("[data-state]")).to_have_text("Silent")
        scene.catalogue.hear(alice, 3)
        expect(found.locator("[data-state]")).to_have_text("Live")


def test_the_command_is_copied(chromium: Browser, scene: Scene) -> None:
    address = "0x" + scene.live().address.hex()
    with chromium.context() as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = opened(context, f"{scene.url}/providers/{address}")
        page.locator("section", has_text="Buy a tunnel").get_by_role("button").click()
        expect(page.get_by_text("Copied")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.lower().startswith(f"fs-tunnel up --provider {address}")
        assert "--max-price '" in copied
        assert "--budget '" in copied
        page.locator("section", has_text="On a phone").get_by_role("button").click()
        expect(page.get_by_text("Copied")).to_have_count(2)
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.lower().startswith(f"fs-tunnel market prepay --provider {address}")
        assert copied.endswith("--qr")


def test_nobody_is_sent_by_an_app_to_a_provider_behind_a_nat(
    chromium: Browser, scene: Scene
) -> None:
    alice = scene.live()
    candidate = scene.catalogue.candidates[alice.address]
    signed = candidate.entry.record
    hidden = replace(signed, content=replace(signed.content, sales=()))
    scene.catalogue.add(alice, replace(candidate, entry=replace(candidate.entry, record=hidden)))
    with chromium.context() as context:
        page = opened(context, f"{scene.url}/providers/0x{alice.address.hex()}")
        expect(page.get_by_text("fs-tunnel up --provider")).to_be_visible()
        expect(page.get_by_text("market prepay")).to_have_count(0)


def test_the_keyboard_reaches_map_filters_and_list(chromium: Browser, scene: Scene) -> None:
    with chromium.context() as context:
        page = opened(context, scene.url)
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert re.fullmatch(r".+: \d+ live", focused)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("country="))
        country = focused.partition(":")[0]
        expect(page.locator("tbody tr").first).to_contain_text(country)


WALLET = """(account) => {
  window.ethereum = { request: async ({ method, params }) => {
    if (method === "eth_requestAccounts") return [account];
    if (method !== "personal_sign") throw new Error(method);
    return await window.signed(params[0]);
  } };
}"""


def test_a_browsers_wallet_signs_in(chromium: Browser, scene: Scene) -> None:
    alice = wallet()
    account = bytes.fromhex(alice.address[2:])
    scene.book.held[account] = orders_of(account, scene.providers[:5])
    with chromium.context() as context:
        context.expose_function(
            "signed", lambda text: personal_sign(alice, bytes.fromhex(text[2:]).decode())
        )
        context.add_init_script(f"({WALLET})({json.dumps(alice.address)})")
        page = opened(context, scene.url + "/orders")
        page.get_by_role("button", name="Sign in with the wallet").click()
        expect(page.get_by_text(alice.address)).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(5)
        expect(page.get_by_text("A WireGuard app alone cannot use the channel")).to_be_visible()
        (cookie,) = context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("Sign in with a wallet")).to_be_visible()


def test_a_wallet_that_refuses_is_told(chromium: Browser, scene: Scene) -> None:
    with chromium.context() as context:
        context.add_init_script(
            "window.ethereum = {request: async () => { throw new Error('User rejected'); }}"
        )
        page = opened(context, scene.url + "/orders")
        page.get_by_role("button", name="Sign in with the wallet").click()
        expect(page.get_by_text("Not signed in: User rejected")).to_be_visible()


def test_no_cookie_before_signing_in(chromium: Browser, scene: Scene) -> None:
    with chromium.context() as context:
        for path in pages(scene):
            opened(context, scene.url + path).close()
        assert context.cookies() == []
