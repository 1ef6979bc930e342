# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Under a flood of handshakes, the server asks for cookies, limits each source and serves on."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.interop.eve import COOKIE_REPLY, Initiation, Session
from tests.interop.scene import Eve, Line, Scene, is_reply_to
from tests.interop.scene import scene as make_scene
from tests.netns.capture import Capture
from tests.netns.peers import Engine
from tests.netns.topology import add_addresses
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

COPIES = 20_000
SECOND_ADDRESS, FLOODER_ADDRESS = "192.0.2.66", "192.0.2.67"


@pytest.fixture
def scene(engine: Engine) -> Iterator[Scene]:
    """Start a server for each test, because a server feels a flood for a while."""
    with make_scene(engine) as made:
        add_addresses(made.eve_home, "wire", [f"{SECOND_ADDRESS}/24", f"{FLOODER_ADDRESS}/24"])
        yield made


def test_20000_copies_of_one_initiation_get_one_response(scene: Scene) -> None:
    """The other copies get cookie replies.

    Meanwhile a peer with a session is served, and afterwards anyone is.
    """
    alice = scene.eve()
    session = alice.shake_hands()
    eve = scene.eve()
    initiation = eve.identity.initiation()
    with Capture(scene.server.namespace, "wire") as wire:
        for _ in range(COPIES):
            eve.line.send(initiation.message)
        ping_in_a_crowd(alice, session)
        own = eve.line.socket.getsockname()[1]
        seen = wait_until_quiet(wire, own)
    answers = [payload for payload in seen if initiation.is_answered_by(payload)]
    cookies = [payload for payload in seen if initiation.is_refused_by(payload)]
    assert len(answers) == 1
    assert len(cookies) > 0
    assert len(answers) + len(cookies) == len(seen)
    assert scene.server.alive()

    eve.line.drain(0)
    newcomer = scene.eve()
    ping_in_a_crowd(newcomer, shake_hands_under_load(newcomer))


def test_a_cookie_is_bound_to_address_and_port(scene: Scene) -> None:
    eve = scene.eve()
    elsewhere, other_host = scene.line(), scene.line(SECOND_ADDRESS)
    with flood(scene):
        cookie = ask_for_cookie(eve)
        for line in (elsewhere, other_host):
            stolen = eve.identity.initiation(cookie=cookie)
            assert stolen.is_refused_by(answer_under_load(line, stolen))
        own = eve.identity.initiation(cookie=cookie)
        assert own.is_answered_by(answer_under_load(eve.line, own))


def test_handshakes_are_limited_for_each_source(scene: Scene) -> None:
    """The server ignores a peer that proves its address but asks too often, and answers others."""
    greedy, modest = scene.eve(), scene.eve(line=scene.line(SECOND_ADDRESS))
    with flood(scene):
        cookie = ask_for_cookie(greedy)
        initiation = greedy.identity.initiation(cookie=cookie)

        def ask_greedily() -> None:
            for _ in range(300):
                greedy.line.send(initiation.message)

        def is_limited() -> bool:
            ask_greedily()
            return not scene.server.engine.is_ours or scene.dropped_for("rate_limited") > 0

        wait_until(is_limited, what="the greedy one is limited")
        ping_in_a_crowd(modest, shake_hands_under_load(modest, before_each_try=ask_greedily))
    # All copies that passed the limit were replays of the first.
    assert len(list(filter(initiation.is_answered_by, greedy.line.drain(0)))) <= 1


def wait_until_quiet(wire: Capture, port: int) -> list[bytes]:
    """Wait until the server stops sending to a port, and return what it sent there."""
    sent: list[bytes] = []
    while True:
        time.sleep(0.3)
        now = [each.payload for each in wire.udp() if each.outgoing and each.destination[1] == port]
        if len(now) == len(sent):
            return sent
        sent = now


@contextlib.contextmanager
def flood(scene: Scene) -> Iterator[None]:
    """Keep the server under load: another host replays one initiation all the time."""
    flooder = scene.eve(line=scene.line(FLOODER_ADDRESS))
    message = flooder.identity.initiation().message
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            flooder.line.send(message)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        flooder.line.expect(lambda data: data[0] == COOKIE_REPLY, what="cookie under load")
        yield
    finally:
        stop.set()
        sender.join()


def answer_under_load(
    line: Line, initiation: Initiation, before_each_try: Callable[[], None] = lambda: None
) -> bytes:
    """Send an initiation until it is answered; a server under load loses many unread."""
    deadline = time.monotonic() + 15.0
    while time.monotonic() < deadline:
        before_each_try()
        line.send(initiation.message)
        for data in line.drain(0.1):
            if initiation.is_answered_by(data) or initiation.is_refused_by(data):
                return data
    raise AssertionError("no answer under load")


def refuse_under_load(line: Line, make: Callable[[], Initiation]) -> tuple[bytes, Initiation]:
    """Return a cookie reply and the initiation that it refuses.

    Cookies keep a flood out of the queue, so a second later the server is not under load any more.
    Until its queue is full again, it answers anyone.
    """
    for _ in range(20):
        initiation = make()
        reply = answer_under_load(line, initiation)
        if initiation.is_refused_by(reply):
            return reply, initiation
    raise AssertionError("no cookie was asked for, twenty times in turn")


def ping_in_a_crowd(eve: Eve, session: Session) -> None:
    """Repeat a ping until an answer gets through; it may be an answer to an earlier copy."""
    request, deadline = eve.echo_request(), time.monotonic() + 15.0
    while time.monotonic() < deadline:
        eve.line.send(session.seal(request))
        for data in eve.line.drain(0.1):
            if session.is_for_us(data) and is_reply_to(session.open(data), request):
                return
    raise AssertionError("no ping reply under load")


def ask_for_cookie(eve: Eve) -> bytes:
    """Return the cookie that a server under load demands."""
    return eve.identity.open_cookie(*refuse_under_load(eve.line, eve.identity.initiation))


def shake_hands_under_load(eve: Eve, before_each_try: Callable[[], None] = lambda: None) -> Session:
    """Shake hands as a real peer would: use a cookie if the server asks for one."""
    initiation = eve.identity.initiation()
    reply = answer_under_load(eve.line, initiation, before_each_try)
    if initiation.is_refused_by(reply):
        cookie = eve.identity.open_cookie(reply, initiation)
        initiation = eve.identity.initiation(cookie=cookie)
        reply = answer_under_load(eve.line, initiation, before_each_try)
    return initiation.finish(reply)
