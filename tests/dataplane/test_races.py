# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""No two C threads race for the same memory; ThreadSanitizer is the judge.

A provider with two packet threads serves clients that send and receive, roam and rekey. Meanwhile
its peers, limits and interface change. Its clock runs fast, so keys are renewed all the time.
"""

import contextlib
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from fs_wire import control
from fs_wire.types import PublicKey
from tests.fuzz.native.build import RACES, REPOSITORY, build_extension
from tests.interop.exchange import transfer_tcp
from tests.netns.peers import FS, Engine, KeyPair, Peer, introduce, running
from tests.netns.topology import Pair, pair

CLIENTS = 4
DATA = secrets.token_bytes(16 << 20)
FAST = {"FS_WG_CLOCK_SCALE": "20"}
STRANGER = KeyPair.generate().public

# Two threads write one buffer, and the sanitizer sees it in memset itself.
DEFECT = """
import ctypes, threading
memset, size = ctypes.CDLL(None).memset, 64 << 20
room = ctypes.create_string_buffer(size)
threads = [threading.Thread(target=memset, args=(room, 1, size)) for _ in range(2)]
for each in threads: each.start()
for each in threads: each.join()
"""


def sanitizer() -> str:
    return subprocess.run(
        ["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_sanitizer_sees_a_race() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEFECT],
        env={"LD_PRELOAD": sanitizer(), "TSAN_OPTIONS": "halt_on_error=1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "data race" in done.stderr


def engine(log: Path) -> Engine:
    return Engine(
        "fs-races",
        (sys.executable, "-m", "tests.dataplane.engine_under_test"),
        is_ours=True,
        env={
            "FS_TEST_NATIVE": str(build_extension("libcrypto", RACES)),
            "FS_TEST_PRELOAD": sanitizer(),
            "TSAN_OPTIONS": f"log_path={log}:exitcode=0",
            "FS_WG_DATAPLANE": "native",
            "FS_WG_THREADS": "2",
            "FS_WG_SANDBOX": "off",  # it would forbid the sanitizer's own threads and files
            "PYTHONPATH": str(REPOSITORY),
            **FAST,
        },
    )


@contextlib.contextmanager
def client(net: Pair, provider: Peer, number: int) -> Iterator[Peer]:
    """Start one of several engines in a namespace.

    Each has a port of its own, so the provider serves it by a thread of its own.
    """
    port = 40000 + number
    with running(FS, net.alice, (f"10.66.{number}.2/24",), port=port, env=FAST) as made:
        introduce(made, provider, (net.alice_v4, port), (net.bob_v4, 51820))
        yield made


def exchange(provider: Peer, each: Peer) -> None:
    """Transfer data in both directions at once."""
    address = each.v4.removesuffix("2") + "1"
    back = threading.Thread(target=transfer_tcp, args=(provider, each, each.v4, DATA))
    back.start()
    assert transfer_tcp(each, provider, address, DATA) == DATA
    back.join()


def disturbances(net: Pair, provider: Peer, each: Peer) -> Iterator[Callable[[], object]]:
    """Yield changes to make at the provider while it serves."""
    key = PublicKey.from_base64(each.keys.public)
    ports = count(20000 + 1000 * int(each.v4.split(".")[2]))

    def forget_and_meet() -> None:
        provider.remove_peer(each.keys.public)
        provider.add_peer(each.keys.public, allowed_ips=[f"{each.v4}/32"])

    yield lambda: control.limit(provider.ifname, key, rx_rate=10**8, credit=10**12)
    yield lambda: each.wg("set", "listen-port", str(next(ports)))
    yield lambda: control.status(provider.ifname)
    yield lambda: control.limit(provider.ifname, key, rx_rate=0, tx_rate=10**8, credit=0)
    yield lambda: net.bob.ip("link", "set", provider.ifname, "mtu", "1300")
    yield lambda: provider.add_peer(STRANGER, allowed_ips=["10.66.0.0/16"])
    yield lambda: provider.transfer(each.keys.public)
    yield lambda: provider.remove_peer(STRANGER)
    yield lambda: net.bob.ip("link", "set", provider.ifname, "mtu", "1420")
    yield lambda: control.limit(provider.ifname, key, exempt="10.66.1.1:443", tx_rate=0)
    yield forget_and_meet


@pytest.mark.netns
def test_packet_threads_do_not_race(tmp_path: Path) -> None:
    addresses = tuple(f"10.66.{1 + number}.1/24" for number in range(CLIENTS))
    with (
        pair() as net,
        running(engine(tmp_path / "races"), net.bob, addresses) as provider,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(client(net, provider, 1 + n)) for n in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            exchanges = [pool.submit(exchange, provider, each) for each in clients]
            for each in clients:
                for disturb in disturbances(net, provider, each):
                    disturb()
                    time.sleep(0.02)  # the other threads run meanwhile
            for done in exchanges:
                done.result()
        assert control.status(provider.ifname)["packet_path"]["threads"] == 2
        assert provider.alive()
    assert [path.read_text() for path in tmp_path.iterdir()] == []
