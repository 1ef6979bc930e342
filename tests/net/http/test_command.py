# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel wallet sign-in``: what it signs, and what it refuses to sign."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_market.money.wallet import Wallet
from fs_tunnel.roles.fullnode import sign_in
from fs_wire.errors import UsageError
from tests.net.http.fair import fair
from tests.net.http.stage import served
from tests.net.http.wallets import personal_sign, recover, wallet
from tools.testing import patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(60)  # seconds


@contextmanager
def keystore(directory: Path) -> Iterator[list[str]]:
    """Yield options for a wallet and its password."""
    password = directory / "password"
    password.touch(0o600)
    password.write_text(os.urandom(8).hex())
    options = ["--wallet", str(directory / "wallet.json"), "--password-file", str(password)]
    subprocess.run([PROGRAM, "wallet", "create", *options], check=True, timeout=DEADLINE)
    yield options


def test_what_it_prints_signs_in(tmp_path: Path) -> None:
    catalogue, _ = fair(3)
    with served(catalogue) as url, keystore(tmp_path) as options:
        done = subprocess.run(
            [PROGRAM, "wallet", "sign-in", url + "/orders", *options],
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE,
        )
        with httpx.Client(base_url=url, follow_redirects=True) as visitor:
            page = visitor.post("/orders/sign-in", data={"proof": done.stdout})
            assert page.status_code == 200
            assert done.stdout.split("\n")[1] in page.text
            assert "Sign out" in page.text


def test_both_libraries_sign_and_recover_alike() -> None:
    secret = os.urandom(32)
    ours, theirs = Wallet(secret), wallet(secret)
    for message in ("", "Grüße", "x" * 1000):
        signature = sign_in.prove(message, ours).rpartition("\n")[2]
        assert signature == personal_sign(theirs, message)
        raw = bytes.fromhex(signature[2:])
        assert sign_in.recover(message.encode(), raw) == ours.address.raw
        assert recover(message.encode(), raw) == ours.address.raw
        counted_from_0 = raw[:64] + bytes([raw[64] - 27])
        assert sign_in.recover(message.encode(), counted_from_0) == ours.address.raw


@pytest.mark.parametrize("signature", [b"", bytes(65), b"\xff" * 65, bytes(64) + b"\x1b"])
def test_what_is_no_signature_is_nobodys(signature: bytes) -> None:
    with pytest.raises(ValueError, match="signature"):
        sign_in.recover(b"message", signature)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("{host} wants", "bank.example wants"),
        ("URI: http://{host}", "URI: https://bank.example"),
        ("Nonce: 1", "URI: https://bank.example"),
        ("{account}", "0x" + "11" * 20),
        ("Statement.", "x" * 2000),
        ("Statement.", "\x1b[2J"),
    ],
)
def test_what_would_count_elsewhere_is_not_signed(ours: str, theirs: str) -> None:
    account = Address(os.urandom(20))
    form = (
        "{host} wants you to sign in with your Ethereum account:\n{account}\n\nStatement.\n\n"
        "URI: http://{host}\nVersion: 1\nNonce: 1"
    )

    async def run(text: str) -> str:
        async def answer(request: web.Request) -> web.Response:
            said = text.replace("{host}", request.host).replace("{account}", str(account))
            return web.json_response({"message": said})

        app = web.Application()
        app.router.add_get("/api/v1/sign-in", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            return await sign_in.ask(f"http://{host}:{port}", account)
        finally:
            await runner.cleanup()

    assert "Statement." in asyncio.run(run(form))
    with pytest.raises(MarketError, match="another site would accept"):
        asyncio.run(run(form.replace(ours, theirs)))


@pytest.mark.parametrize("url", ["node.example", "ftp://x", "https://", "http://u:p@x/"])
def test_what_is_no_page_is_said(url: str) -> None:
    with pytest.raises(UsageError, match="https://node"):
        asyncio.run(sign_in.ask(url, Address(bytes(20))))


def test_a_node_that_is_not_there_is_said() -> None:
    with pytest.raises(MarketError, match="check its address"):
        asyncio.run(sign_in.ask("http://127.0.0.1:9", Address(bytes(20))))
