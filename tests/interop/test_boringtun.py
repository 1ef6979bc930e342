# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Our engine talks to two BoringTun peers: a rootless client, and a server without a TUN.

Both are Python packages with a TCP stack of their own. They run as processes in a namespace.
"""

import hashlib
import json
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.peers import (
    Engine,
    KeyPair,
    Peer,
    generate_psk,
    running,
    show_endpoint,
    stop_process,
)
from tests.netns.topology import Namespace, pair, python_module
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns

PORT = 51820
WEB_PORT = 8080
PAGE_BYTES = 300_000


@pytest.mark.parametrize("with_psk", [False, True], ids=["no-psk", "psk"])
def test_a_rootless_client_fetches_a_page(engine: Engine, tmp_path: Path, with_psk: bool) -> None:
    page = secrets.token_bytes(PAGE_BYTES)
    (tmp_path / "page").write_bytes(page)
    psk = generate_psk() if with_psk else None
    with (
        pair() as net,
        running(engine, net.bob, BOB_INSIDE) as server,
        web_server(net.bob, server.v4, tmp_path),
    ):
        keys = KeyPair.generate()
        server.add_peer(keys.public, allowed_ips=["10.66.0.9/32"], psk=psk)
        task = {
            "private": keys.private,
            "public": server.keys.public,
            "psk": psk,
            "endpoint": show_endpoint(net.bob_v4, PORT),
            "address": "10.66.0.9",
            "host": server.v4,
            "port": WEB_PORT,
            "times": 3,
        }
        shown = net.alice.run(
            *python_module("tests.interop.boringtun_client"), stdin=json.dumps(task)
        )
        expected = {"status": "200", "sha256": hashlib.sha256(page).hexdigest()}
        assert [json.loads(line) for line in shown.splitlines()] == [expected] * 3
        assert server.latest_handshake(keys.public) > 0
        assert server.transfer(keys.public).sent > 3 * PAGE_BYTES


def test_a_server_without_a_tun_echoes_our_stream(engine: Engine) -> None:
    with pair() as net, running(engine, net.alice, ALICE_INSIDE) as client:
        keys = KeyPair.generate()
        with boringtun_server(net.bob, net.bob_v4, keys, client.keys.public):
            client.add_peer(keys.public, allowed_ips=["10.66.0.0/24"], endpoint=(net.bob_v4, PORT))
            sent = secrets.token_bytes(PAGE_BYTES)
            # The server answers for every address inside, so the test may choose any.
            assert echo_of(client, ("10.66.0.2", 7), sent) == sent
            assert client.latest_handshake(keys.public) > 0


def echo_of(client: Peer, server: tuple[str, int], data: bytes) -> bytes:
    """Send ``data`` over TCP and return as many bytes as come back."""
    received = bytearray()
    with client.namespace.open_socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience.seconds(30.0))
        connection.connect(server)
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        while len(received) < len(data) and (chunk := connection.recv(65536)):
            received += chunk
        sender.join(30.0)
    return bytes(received)


@contextmanager
def boringtun_server(
    namespace: Namespace, address: str, keys: KeyPair, client_public: str
) -> Iterator[None]:
    task = {"private": keys.private, "public": client_public, "host": address, "port": PORT}
    process = namespace.start(
        *python_module("tests.interop.boringtun_server"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        stop_process(process)


@contextmanager
def web_server(namespace: Namespace, address: str, directory: Path) -> Iterator[None]:
    """Run Python's HTTP server on an address of the namespace."""
    process = namespace.start(
        *(sys.executable, "-m", "http.server", str(WEB_PORT)),
        *("--bind", address, "--directory", str(directory)),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: accepts(namespace, address), what="the web server is ready")
        yield
    finally:
        stop_process(process)


def accepts(namespace: Namespace, address: str) -> bool:
    with namespace.open_socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((address, WEB_PORT)) == 0
