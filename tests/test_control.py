"""The engine's second socket: JSON lines each way, and what is no request."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel import control
from fs_tunnel.errors import ControlError, FlowShieldError, NotRunningError, SystemChangeError

NAME = "alice"
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


def answer(op: str) -> control.Reply:
    return {"status": STATUS}[op]


def ask(line: bytes) -> control.Reply:
    return control.answer_untrusted(line, answer)


@contextmanager
def engine() -> Iterator[None]:
    """Serves requests for NAME in a thread, as an engine does in its process."""
    started, stop = threading.Event(), threading.Event()

    async def run(listener: socket.socket) -> None:
        server = await control.serve(listener, answer)
        started.set()
        await asyncio.to_thread(stop.wait, 20)
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run(control.listen(NAME))))
    thread.start()
    try:
        assert started.wait(10)
        yield
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
                done.wait(10)

    with control.listen(NAME) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(10)


def connect() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
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
    assert '"op": "status"' in said["error"]


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_line_gets_an_answer(line: bytes) -> None:
    assert set(ask(line)) >= {"ok"}


def test_the_socket_is_for_root_alone(folder: Path) -> None:
    with control.listen(NAME):
        path = control.socket_path(NAME)
        assert path == folder / f"{NAME}.control"
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [each.name for each in folder.iterdir()] == [path.name]


def test_the_socket_of_a_dead_engine_is_replaced() -> None:
    control.listen(NAME).close()
    with control.listen(NAME):
        connect().close()


def test_a_socket_that_cannot_be_made_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FS_TUNNEL_RUN_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(SystemChangeError, match="check its directory"):
        control.listen(NAME)


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


def test_a_client_that_goes_away_harms_nobody() -> None:
    with engine():
        connect().close()
        with connect() as client:
            client.sendall(b'{"op": "sta')
        assert control.status(NAME)["ok"]


# The client.


def test_a_client_gets_what_the_engine_says() -> None:
    with engine():
        assert control.request(NAME, "status") == {"ok": True, "schema": 1, **STATUS}


def test_a_refusal_names_the_request() -> None:
    with engine(), pytest.raises(ControlError, match="refused fly"):
        control.request(NAME, "fly")


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
    control.listen(NAME).close()  # what a killed engine leaves
    assert list(folder.iterdir())
    with pytest.raises(NotRunningError):
        control.status(NAME)


def test_a_path_too_long_for_a_socket_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FS_TUNNEL_RUN_DIR", "/tmp/" + "x" * 120)
    with pytest.raises(FlowShieldError, match="cannot be reached"):
        control.status(NAME)
