# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Metrics: Prometheus itself accepts them, and they hold only the intended facts."""

import base64
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fs_tunnel.linux.process import Usage, usage_of
from fs_tunnel.observe.metrics import registry
from fs_tunnel.observe.metrics_server import _is_no_name, listen_tcp, listen_unix, serve
from fs_tunnel.observe.overview import STATES, Overview, has_session
from fs_wire.errors import SystemChangeError, UsageError
from fs_wire.types import Endpoint
from tests.netns.served import Served, expect_ok, served
from tests.netns.waiting import wait_until
from tests.unpacked import program
from tools.testing import patience

KEY = base64.b64encode(bytes(range(32))).decode()
LIMITS = {
    "rx_rate": 1000,
    "tx_rate": 0,
    "credit": 5 << 30,
    "credit_low": 0,
    "exempt": "10.66.0.1:7",
}
PEER = {
    "rx_bytes": 1 << 53,
    "tx_bytes": 7,
    "rx_packets": 3,
    "tx_packets": 1,
    "latest_handshake_ns": 1_700_000_000_500_000_000,
    "credit_used": 11,
    "limits": LIMITS,
}
ENGINE: dict[str, Any] = {
    "pid": 77,
    "up": True,
    "peers": {KEY: PEER},
    "drops": {"replayed": 4, "no_session": 0},
}
TUNNELS = [
    Overview("away", "up", "blocked", None),
    Overview("office", "serve", "serving", ENGINE),
]


def exposed(tunnels: list[Overview] = TUNNELS) -> str:
    usage = Usage(cpu=1.5, memory=4096, started=1.7e9)
    return generate_latest(registry(lambda: tunnels, lambda _: usage)).decode()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Values by the name of a metric and the values of its labels, in alphabetical order."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def number(text: str, name: str, *labels: str) -> float:
    return samples(text)[name, *sorted(labels)]


def judged(text: str) -> str:
    """The output of promtool; AssertionError if it fails."""
    done = subprocess.run(
        [program("/usr/bin/promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout + done.stderr


def test_promtool_finds_no_fault() -> None:
    assert judged(exposed()) == ""
    assert judged(exposed([])) == ""


def test_promtool_would_find_one() -> None:
    with pytest.raises(AssertionError, match="no help text"):
        judged("# TYPE fs_tunnel_x_total counter\nfs_tunnel_x_total 1\n")


def test_every_number_is_where_it_belongs() -> None:
    found = exposed()
    peer = ("office", KEY)
    assert number(found, "fs_tunnel_peer_receive_bytes_total", *peer) == 1 << 53
    assert number(found, "fs_tunnel_peer_transmit_bytes_total", *peer) == 7
    assert number(found, "fs_tunnel_peer_receive_packets_total", *peer) == 3
    assert number(found, "fs_tunnel_peer_transmit_packets_total", *peer) == 1
    assert number(found, "fs_tunnel_peer_last_handshake_seconds", *peer) == 1_700_000_000.5
    assert number(found, "fs_tunnel_peer_credit_used_bytes_total", *peer) == 11
    assert number(found, "fs_tunnel_peer_credit_bytes", *peer) == 5 << 30
    rate = "fs_tunnel_peer_rate_limit_bytes_per_second"
    assert (number(found, rate, *peer, "receive"), number(found, rate, *peer, "transmit")) == (
        1000,
        0,
    )
    assert number(found, "fs_tunnel_dropped_packets_total", "office", "replayed") == 4
    assert number(found, "fs_tunnel_engine_cpu_seconds_total", "office") == 1.5
    assert number(found, "fs_tunnel_engine_resident_memory_bytes", "office") == 4096
    assert number(found, "fs_tunnel_interface_up", "office") == 1


def test_a_tunnel_is_in_one_state() -> None:
    found = exposed()
    for tunnel in TUNNELS:
        of_it = {
            state: number(found, "fs_tunnel_state", tunnel.name, tunnel.role, state)
            for state in STATES[tunnel.role]
        }
        assert of_it == {state: float(state == tunnel.state) for state in of_it}


def test_an_address_of_a_customer_is_not_in_it() -> None:
    assert "10.66." not in exposed()


def test_an_engine_that_has_just_ended_has_no_usage() -> None:
    text = generate_latest(registry(lambda: TUNNELS, lambda _: None)).decode()
    assert not any(name.startswith("fs_tunnel_engine") for name, *_ in samples(text))
    assert judged(text) == ""


def test_a_session_lasts_as_long_as_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert has_session([0, 821_000_000_000])
    assert not has_session([0, 819_000_000_000])
    assert not has_session([])


def test_the_usage_of_a_process_grows() -> None:
    usage = usage_of(os.getpid())
    assert usage is not None
    assert usage.memory > 1 << 20
    assert usage.cpu > 0
    assert usage.started > 1.5e9
    process = subprocess.Popen(["true"])
    process.wait()
    assert usage_of(process.pid) is None


# The server.


@contextmanager
def serving(listener: socket.socket) -> Iterator[None]:
    metrics = registry(lambda: TUNNELS, lambda _: None)
    thread = threading.Thread(target=serve, args=(listener, metrics), daemon=True)
    thread.start()
    yield
    # The thread is a daemon; what it listens on goes, and nobody reaches it.


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=patience.seconds(10))
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listener = listen_tcp(Endpoint("127.0.0.1", _free_port()), anywhere=False)
    with serving(listener):
        yield listener.getsockname()[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_scrape_is_what_is_printed(port: int) -> None:
    status, page = ask(port)
    assert status == 200
    assert judged(page) == ""
    assert number(page, "fs_tunnel_peer_transmit_bytes_total", "office", KEY) == 7


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/../etc/passwd"])
def test_there_is_nothing_else(port: int, path: str) -> None:
    status, page = ask(port, path)
    assert status == 404
    assert KEY not in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "CONNECT", "OPTIONS"])
def test_nothing_can_be_done_but_look(port: int, method: str) -> None:
    assert ask(port, method=method)[0] == 501


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9586", "localhost.evil.example", "127.0.0.1.evil.example", "",
     "[evil]", "127.0.0.1:9586@evil.example", "localhost:x", "127.0.0.1, evil.example"],
)  # fmt: skip
def test_a_page_that_rebinds_its_name_is_refused(port: int, host: str) -> None:
    status, page = ask(port, Host=host)
    assert status == 403
    assert KEY not in page


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9586", "localhost:9586", "[::1]:9586"])
def test_an_address_and_localhost_are_heard(port: int, host: str) -> None:
    assert ask(port, Host=host)[0] == 200


@given(
    st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20})*\.[a-z]{2,10}(:\d{1,5})?", fullmatch=True)
)
def test_no_domain_is_an_address(host: str) -> None:
    assert not _is_no_name([host])


def test_a_request_names_one_host() -> None:
    assert not _is_no_name([])
    assert not _is_no_name(["127.0.0.1", "evil.example"])


def test_what_others_reach_is_refused_unless_it_is_meant() -> None:
    for place in ("0.0.0.0", "192.0.2.1", "::", "2001:db8::1"):
        with pytest.raises(UsageError, match="add --allow-remote"):
            listen_tcp(Endpoint(place, 9586), anywhere=False)
    with listen_tcp(Endpoint("0.0.0.0", _free_port()), anywhere=True):
        pass


def test_a_port_that_is_taken_is_told(port: int) -> None:
    with pytest.raises(SystemChangeError, match="name another port"):
        listen_tcp(Endpoint("127.0.0.1", port), anywhere=False)


def test_many_idle_connections_do_not_grow_without_end(port: int) -> None:
    idle = [
        socket.create_connection(("127.0.0.1", port), timeout=patience.seconds(10))
        for _ in range(20)
    ]
    refused = 0
    for each in idle[8:]:
        try:
            refused += each.recv(1) == b""
        except ConnectionResetError:
            refused += 1
    assert refused >= 12
    for each in idle:
        each.close()
    wait_until(lambda: _is_answered(port), what="they are answered again")


def _is_answered(port: int) -> bool:
    try:
        return ask(port)[0] == 200
    except OSError:
        return False


def test_a_socket_is_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with serving(listen_unix(path)):
        assert path.stat().st_mode & 0o077 == 0
        done = subprocess.run(
            ["curl", "--silent", "--fail", "--unix-socket", path, "http://any.name/metrics"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        assert KEY in done.stdout


# The command.


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        made.serve()
        made.up()
        made.client.namespace.run("ping", "-c", "1", "-W", "10", "10.66.0.1")
        yield made


@pytest.mark.netns
def test_it_prints_what_passed_through_real_tunnels(scene: Served) -> None:
    done = scene.fs_tunnel(scene.provider, "metrics")
    expect_ok(done)
    assert judged(done.out) == ""
    found = done.out
    key = scene.client.keys.public
    assert number(found, "fs_tunnel_peer_receive_packets_total", scene.name, key) >= 1
    assert number(found, "fs_tunnel_peer_last_handshake_seconds", scene.name, key) > 1.5e9
    assert number(found, "fs_tunnel_state", scene.client.name, "up", "connected") == 1
    assert number(found, "fs_tunnel_engine_resident_memory_bytes", scene.name) > 1 << 20
    for secret in (scene.keys.private, scene.client.keys.private, "198.51.100", "10.66."):
        assert secret not in done.out


@pytest.mark.netns
@pytest.mark.parametrize("way", ["--listen", "--socket"])
def test_it_serves_until_it_is_stopped(scene: Served, way: str, tmp_path: Path) -> None:
    where, path = scene.provider, tmp_path / "m.sock"
    place = "127.0.0.1:9586" if way == "--listen" else str(path)
    process = where.start(*scene.command("metrics", way, place), env=scene.env)
    url = "http://127.0.0.1:9586/metrics"
    options = ["--unix-socket", place] if way == "--socket" else []
    shown: list[str] = []

    def fetch() -> bool:
        shown.append(where.run("sh", "-c", 'curl -s "$@" || true', "sh", *options, url))
        return bool(shown[-1])

    wait_until(fetch, what="metrics are served")
    assert judged(shown[-1]) == ""
    process.send_signal(2)
    assert process.wait(patience.seconds(20)) == 130
    assert not path.exists()


@pytest.mark.netns
@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--listen", "0.0.0.0:9586"), "listen on 127.0.0.1"),
        (("--listen", "nonsense"), "write 127.0.0.1:9586"),
        (("--listen", "127.0.0.1:9586", "--socket", "x"), "give one of them"),
    ],
)
def test_a_wrong_place_is_told_with_the_remedy(
    tmp_path: Path, arguments: tuple[str, ...], remedy: str
) -> None:
    with served(tmp_path) as scene:
        done = scene.fs_tunnel(scene.provider, "metrics", *arguments)
    assert done.code == 2
    assert remedy in done.err
