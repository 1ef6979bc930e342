# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node's page with a chain: an account that signs in sees what the chain says."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fs_market.chain.fees import FeePolicy
from fs_market.settings import MarketSettings, render
from fs_net.fullnode.http.server import listen
from fs_tunnel.roles.fullnode import sign_in
from fs_tunnel.roles.fullnode.page import Page
from fs_wire.errors import UsageError
from tests.market.chains import Dev
from tests.market.parties import new_wallet, open_channel, party, until
from tests.net.http.fair import fair
from tests.net.world import NETWORK
from tests.netns.waiting import wait_until
from tools.testing import patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEPOSIT = 2_500_000


def settings_of(dev: Dev) -> MarketSettings:
    return MarketSettings(
        rpc=dev.url,
        chain_id=dev.chain_id,
        confirmations=1,
        fees=FeePolicy(),
        token=dev.contracts.token,
        channels=dev.contracts.channels,
        stakes=dev.contracts.stakes,
        registry=dev.contracts.registry,
    )


def test_an_order_is_seen_by_who_signs_in(dev: Dev, tmp_path: Path) -> None:
    alice, bob = new_wallet(), new_wallet()
    dev.fund(alice.address)

    async def run() -> None:
        async with party(dev.url, dev.chain_id, alice, tmp_path / "a") as payer:
            await open_channel(payer, bob, dev.contracts, DEPOSIT)
            page = Page(listen("127.0.0.1", 0), "http://node.example", None)
            port = page.listener.getsockname()[1]
            serving = asyncio.create_task(
                page.serve(fair(5)[0], payer.chain, settings_of(dev), NETWORK)
            )
            try:
                url = f"http://127.0.0.1:{port}"
                async with httpx.AsyncClient(base_url=url) as visitor:
                    asked = await visitor.get(
                        "/api/v1/sign-in", params={"address": str(alice.address)}
                    )
                    message, _, signature = sign_in.prove(
                        asked.json()["message"], alice
                    ).rpartition("\n\n")
                    proof = {"message": message, "signature": signature}
                    signed_in = await visitor.post("/api/v1/sign-in", json=proof)
                    assert signed_in.json() == {"account": str(alice.address)}

                    async def is_told() -> bool:
                        return bool((await visitor.get("/api/v1/orders")).json()["orders"])

                    await until(is_told)
                    (order,) = (await visitor.get("/api/v1/orders")).json()["orders"]
                    assert order["deposit"] == {"units": str(DEPOSIT), "text": "2.5 FST"}
                    assert order["counterparty"] == str(bob.address)
                    assert order["state"] == "open"
            finally:
                serving.cancel()
                await asyncio.wait([serving])

    asyncio.run(run())


def test_a_full_node_serves_it_until_it_is_asked_to_end(dev: Dev, tmp_path: Path) -> None:
    settings = tmp_path / "market.toml"
    settings.write_text(render(settings_of(dev)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        *(str(PROGRAM), "fullnode", "--api", place, "--json", "--settings", str(settings)),
        *("--folder", str(tmp_path / "node"), "--listen", "/ip4/127.0.0.1/tcp/0"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout is not None
            told = json.loads(node.stdout.readline())
            assert (told["event"], told["page"]) == ("ready", f"http://{place}")
            wait_until(lambda: answers(told["page"]), what="the page answers", seconds=30)
            page = httpx.get(told["page"])
            assert "Choose a provider" in page.text
            assert httpx.get(f"{told['page']}/api/v1/providers").json()["total"] == 0
        finally:
            node.send_signal(signal.SIGTERM)
        assert node.wait(patience.seconds(30)) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/statistics").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("api", "origin", "proxy", "remedy"),
    [
        ("0.0.0.0:8080", None, None, "--origin URL"),
        ("[::]:8080", None, None, "--origin URL"),
        ("127.0.0.1:8080", "https://node.example/page", None, "without a path"),
        ("127.0.0.1:8080", "ftp://node.example", None, "write https://"),
        ("127.0.0.1:8080", None, "localhost", "write 127.0.0.1"),
        ("192.0.2.1:8080", None, None, "name another address"),
    ],
)
def test_what_is_wrong_is_told(
    api: str, origin: str | None, proxy: str | None, remedy: str
) -> None:
    with pytest.raises(UsageError, match=remedy):
        Page.open(api, origin, proxy)
