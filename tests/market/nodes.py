# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Chains for tests: anvil, which can revert blocks, and a proxy that fails on demand."""

import json
import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from fs_market.core.wire.ethereum import Address
from tools.testing import patience

REPOSITORY = Path(__file__).resolve().parents[2]
ANVIL_CHAIN_ID = 31337
ETHER = 10**18


class Anvil:
    """A chain node that mines when told to, and reverts blocks."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rpc(self, method: str, *params: Any) -> Any:
        return rpc(self.url, method, *params)

    def fund(self, account: Address, wei: int = 100 * ETHER) -> None:
        self.rpc("anvil_setBalance", str(account), hex(wei))

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def automine(self, *, is_on: bool) -> None:
        self.rpc("evm_setAutomine", is_on)

    def snapshot(self) -> str:
        return str(self.rpc("evm_snapshot"))

    def take_back_to(self, snapshot: str) -> None:
        """Revert everything after a snapshot, and forget its transactions."""
        assert self.rpc("evm_revert", snapshot)

    def drop(self, transaction: bytes) -> None:
        self.rpc("anvil_dropTransaction", "0x" + transaction.hex())

    def nonce(self, account: Address) -> int:
        return int(self.rpc("eth_getTransactionCount", str(account), "latest"), 16)


def rpc(url: str, method: str, *params: Any) -> Any:
    """Ask a chain node without the code under test."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    parsed = json.loads(post(url, body.encode()))
    assert "error" not in parsed, parsed
    return parsed["result"]


def post(url: str, body: bytes) -> bytes:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=patience.seconds(30))
    try:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


@contextmanager
def anvil(*options: str) -> Iterator[Anvil]:
    """Run anvil on a free port of loopback."""
    command = [str(_program()), "--host", "127.0.0.1", "--port", "0", "--accounts", "1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Listening on "):
                    break
            else:
                pytest.fail("anvil ended before it listened")
            # Anvil prints each request, and would block if nobody read its output.
            Thread(target=process.stdout.read, daemon=True).start()
            yield Anvil("http://" + line.split()[-1])
        finally:
            process.kill()


def _program() -> Path:
    """Return the program itself, because npm's wrapper needs a newer Node than Debian's."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    program = REPOSITORY / f"contracts/node_modules/@foundry-rs/anvil-linux-{machine}/bin/anvil"
    if not program.exists():
        if shutil.which("npm") is None:
            message = "anvil needs npm once; run: apt-get install nodejs npm"
            if os.geteuid() == 0:
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        subprocess.run(
            [REPOSITORY / "tools" / "contracts", "forge", "--version"],
            check=True,
            timeout=patience.seconds(300),
        )
    return program


Fault = Callable[[str, int], str | None]


class Between:
    """Passes requests on to a chain node, unless ``fault`` decides otherwise.

    ``fault`` gets the method, and how often it was asked. ``before`` cuts the connection before the
    chain node hears the request, and ``after`` cuts it afterwards. A whole answer replaces the
    chain node's.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.fault: Fault = lambda _method, _count: None
        self.asked: Counter[str] = Counter()
        self.sent: list[str] = []
        self.url = ""

    def answer(self, body: bytes) -> bytes | None:
        request = json.loads(body)
        method = request["method"]
        self.asked[method] += 1
        if method == "eth_sendRawTransaction":
            self.sent.append(request["params"][0])
        fault = self.fault(method, self.asked[method])
        if fault == "before":
            return None
        if fault is not None and fault != "after":
            return fault.encode()
        raw = post(self.upstream, body)
        return None if fault == "after" else raw


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: "_Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.between.answer(body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    between: Between


@contextmanager
def between(upstream: str) -> Iterator[Between]:
    """Run the proxy on loopback in front of ``upstream``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.between = Between(upstream)
    server.between.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.between
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
