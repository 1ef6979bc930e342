# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine's second socket: JSON lines each way, and what is no request."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.engine.control_server import (
    ControlServer,
    Operation,
    answer_untrusted,
    describe_limits,
    listen,
    parse_admission_untrusted,
    parse_endpoints_untrusted,
    parse_limits_untrusted,
)
from fs_tunnel.proto.path import Limits
from fs_wire import control
from fs_wire.control import Message
from fs_wire.errors import (
    ControlError,
    FlowShieldError,
    NotRunningError,
    SystemChangeError,
    UsageError,
)
from fs_wire.types import Endpoint, PublicKey
from tests.netns.waiting import wait_until
from tools.testing import patience

NAME = "alice"
KEY = PublicKey(bytes(31) + b"\1").to_base64()
STATUS = {"peers": {}, "drops": {"no_peer": 3}}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run directory, which does not exist yet."""
    made = tmp_path / "run"
    monkeypatch.setenv("FS_TUNNEL_RUN_DIR", str(made))
    return made


def limit(request: Message) -> Message:
    parse_limits_untrusted(request, Limits())
    return {}


OPERATIONS: dict[str, Operation] = {"status": lambda _: STATUS, "limit": limit}


def ask(line: bytes) -> Message:
    return answer_untrusted(line, OPERATIONS)


@contextmanager
def engine() -> Iterator[Callable[..., None]]:
    """Serves requests for NAME in a thread, as an engine does in its process; yields ``tell``."""
    started, stop = threading.Event(), threading.Event()
    server = ControlServer(OPERATIONS)
    loop = asyncio.new_event_loop()

    async def run(listener: socket.socket) -> None:
        await server.start(listener)
        started.set()
        await asyncio.to_thread(stop.wait, 20)
        server.close()

    def tell(event: str, **members: object) -> None:
        loop.call_soon_threadsafe(lambda: server.tell(event, **members))

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run(listen(NAME)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert started.wait(patience.seconds(10))
        yield tell
    finally:
        stop.set()
        thread.join(10)


@contextmanager
def engine_that_says(said: bytes, *, stays: bool = False) -> Iterator[None]:
    """Takes one connection and answers with ``said``; with ``stays`` it does not hang up."""
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(said)
            if stays:
                done.wait(patience.seconds(10))

    with listen(NAME) as listener:
        listener.settimeout(patience.seconds(10))
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(10)


def connect() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(patience.seconds(10))
    sock.connect(str(control.socket_path(NAME)))
    return sock


# The server.


def test_status_is_answered_with_a_schema() -> None:
    assert ask(b'{"op": "status"}\n') == {"ok": True, "schema": 1, **STATUS}


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"status", b"{}", b"[]", b"null", b"7", b'"status"', b'{"op": 7}'),
        *(b'{"op": "no such"}', b'{"op": null}', b'{"op": ["status"]}', b'{"op": {}}'),
        *(b'{"op": "status"', b"\xff\xfe", b'{"op": "stat\xff"}', b"NaN", b"[" * 60_000),
        b'{"op": ' + b"[" * 60_000,
        b"1" * 5000,
    ],
)
def test_what_is_no_request_is_told_what_one_is(line: bytes) -> None:
    said = ask(line)
    assert said["ok"] is False
    assert '{"op": "status"}' in said["error"]


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_line_gets_an_answer(line: bytes) -> None:
    assert set(ask(line)) >= {"ok"}


def test_the_socket_is_for_root_alone(folder: Path) -> None:
    with listen(NAME):
        path = control.socket_path(NAME)
        assert path == folder / f"{NAME}.control"
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [each.name for each in folder.iterdir()] == [path.name]


def test_the_socket_of_a_dead_engine_is_replaced() -> None:
    listen(NAME).close()
    with listen(NAME):
        connect().close()


def test_a_socket_that_cannot_be_made_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FS_TUNNEL_RUN_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(SystemChangeError, match="check its directory"):
        listen(NAME)


def test_a_connection_carries_several_requests() -> None:
    with engine(), connect() as client, client.makefile("rwb") as stream:
        for line in (b'{"op": "status"}\n', b"nonsense\n", b'{"op": "status"}\n'):
            stream.write(line)
            stream.flush()
            assert json.loads(stream.readline())["ok"] is (line != b"nonsense\n")


def test_a_line_too_long_ends_its_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    with engine():
        with connect() as client, pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(100):
                client.sendall(b"x" * (1 << 16))
        assert control.status(NAME)["drops"] == {"no_peer": 3}
    assert caplog.records == [], "asyncio tells of exceptions that nobody caught"


def test_who_watches_is_told_of_events_and_may_ask_on() -> None:
    with engine() as tell, connect() as client, client.makefile("rwb") as stream:
        tell("nobody_hears")
        for op in ("watch", "status"):
            stream.write(json.dumps({"op": op}).encode() + b"\n")
            stream.flush()
            assert json.loads(stream.readline())["ok"] is True
        tell("credit_low", peer="alice", credit_used=7)
        assert json.loads(stream.readline()) == {
            "event": "credit_low",
            "peer": "alice",
            "credit_used": 7,
        }


def test_who_does_not_read_its_events_is_hung_up_on_alone() -> None:
    with engine() as tell, connect() as sleeper, connect() as reader:
        for each in (sleeper, reader):
            each.sendall(b'{"op": "watch"}\n')
        with reader.makefile("rb") as stream:
            assert json.loads(stream.readline())["ok"] is True
            for number in range(40):
                tell("credit_low", filler="x" * (1 << 16), number=number)
                assert json.loads(stream.readline())["number"] == number
        with sleeper.makefile("rb") as stream:
            assert len(stream.read()) < 40 << 16, "it came to an end, before all was told"


def test_a_client_that_goes_away_harms_nobody() -> None:
    with engine():
        connect().close()
        with connect() as client:
            client.sendall(b'{"op": "sta')
        assert control.status(NAME)["ok"]


# The client.


def test_a_client_gets_what_the_engine_says() -> None:
    with engine():
        assert control.status(NAME) == {"ok": True, "schema": 1, **STATUS}


def test_a_refusal_names_the_request() -> None:
    with (
        engine(),
        control.connect(NAME) as connection,
        pytest.raises(ControlError, match="refused fly: not understood; send one of"),
    ):
        connection.request("fly")


@pytest.mark.parametrize(
    "said",
    [b"", b"\n", b"nonsense\n", b"[]\n", b"{}\n", b'{"ok": true', b"\xff\n", b"[" * 10_000 + b"\n"],
)
def test_an_answer_that_makes_no_sense_is_an_error(said: bytes) -> None:
    with engine_that_says(said), pytest.raises(ControlError):
        control.status(NAME)


def test_an_engine_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_CLIENT_DEADLINE", 0.05)
    with (
        engine_that_says(b'{"ok"', stays=True),
        pytest.raises(ControlError, match="did not answer"),
    ):
        control.status(NAME)


def test_without_an_engine_it_is_not_running(folder: Path) -> None:
    with pytest.raises(NotRunningError, match="fs-tunnel up"):
        control.status(NAME)
    listen(NAME).close()  # what a killed engine leaves
    assert list(folder.iterdir())
    with pytest.raises(NotRunningError):
        control.status(NAME)


def test_events_come_until_the_engine_ends() -> None:
    with engine() as tell, control.connect(NAME) as connection:
        events = connection.events()
        heard: list[Message] = []

        def hear() -> None:
            with pytest.raises(ControlError, match="did not answer"):
                heard.extend(events)

        watcher = threading.Thread(target=hear)
        watcher.start()
        wait_until(lambda: tell("tick") or heard, what="an event is heard")
    watcher.join(10)
    assert not watcher.is_alive()
    assert heard[0] == {"event": "tick"}


# Limits.


def test_a_limit_request_changes_what_it_names() -> None:
    before = Limits(rx_rate=1, tx_rate=2, credit=3, credit_low=4, exempt=(bytes(4), 5))
    assert parse_limits_untrusted({"op": "limit", "peer": "bob"}, before) == before
    request = {"credit": 2**63 - 1, "rx_rate": 0, "exempt": "[fd00::1]:443"}
    address = IPv6Address("fd00::1").packed
    expected = Limits(0, 2, 2**63 - 1, 4, (address, 443))
    assert parse_limits_untrusted(request, before) == expected
    assert describe_limits(expected)["exempt"] == "[fd00::1]:443"
    assert parse_limits_untrusted({"exempt": None}, before).exempt is None


@pytest.mark.parametrize(
    "member",
    [
        *({"rx_rate": amount} for amount in (-1, 2**63, 1.0, True, "1", None, [1])),
        *({"exempt": text} for text in ("", "10.0.0.1", "10.0.0.1:0", ":443", "fd00::1:443")),
        *({"exempt": wrong} for wrong in ("[fe80::1%3]:443", 443, True)),
        *({name: 1} for name in ("rate", "")),
    ],
)
def test_what_is_no_limit_is_refused(member: Message) -> None:
    with pytest.raises(UsageError):
        parse_limits_untrusted(member, Limits())
    said = ask(json.dumps({"op": "limit", **member}).encode())
    assert said["ok"] is False
    assert said["error"]


def test_an_admission_replaces_addresses_and_names_no_secret() -> None:
    update = parse_admission_untrusted({"peer": KEY, "addresses": ["10.66.0.9", "fd66::9/128"]})
    assert update.public_key.to_base64() == KEY
    assert update.replace_allowed_ips
    assert [str(each.network) for each in update.allowed_ips] == ["10.66.0.9/32", "fd66::9/128"]
    assert update.preshared_key is None


@pytest.mark.parametrize(
    "members",
    [
        {"addresses": ["10.66.0.9"]},
        {"peer": "x", "addresses": ["10.66.0.9"]},
        {"peer": KEY},
        {"peer": KEY, "addresses": []},
        {"peer": KEY, "addresses": "10.66.0.9"},
        {"peer": KEY, "addresses": ["10.66.0.9"] * 65},
        {"peer": KEY, "addresses": ["10.66.0"]},
        {"peer": KEY, "addresses": [None]},
        {"peer": KEY, "addresses": ["fe80::9%eth0"]},
    ],
)
def test_what_is_no_admission_is_refused(members: Message) -> None:
    with pytest.raises(UsageError):
        parse_admission_untrusted({"op": "admit", **members})


def test_the_client_sets_limits() -> None:
    peer = PublicKey(bytes(32))
    with engine():
        control.limit(NAME, peer, credit=7, exempt=None)
        with pytest.raises(ControlError, match="refused limit: rx_rate is a whole number"):
            control.limit(NAME, peer, rx_rate=-1)


def test_a_path_too_long_for_a_socket_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FS_TUNNEL_RUN_DIR", "/tmp/" + "x" * 120)
    with pytest.raises(FlowShieldError, match="cannot be reached"):
        control.status(NAME)


def test_endpoints_are_a_short_list_each_once() -> None:
    text = ["192.0.2.1:1", "[2001:db8::1]:2", "192.0.2.1:1"]
    expected = [Endpoint("192.0.2.1", 1), Endpoint("2001:db8::1", 2)]
    assert parse_endpoints_untrusted({"servers": text}, "servers", 3) == expected
    for wrong in (None, [], "192.0.2.1:1", text * 2, [1], ["192.0.2.1"], [None]):
        with pytest.raises(UsageError):
            parse_endpoints_untrusted({"servers": wrong}, "servers", 3)
