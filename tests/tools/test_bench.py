# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make bench``: what it computes, shows and writes; nothing here is timed."""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from fs_tunnel.engine import pumps
from tests.interop.eve import COOKIE_REPLY, RESPONSE, Initiation
from tests.netns.topology import REPOSITORY, run
from tests.tools.readings import readings, results
from tools.bench import __main__, figures, peers, scenes, sections
from tools.bench.figures import Reading
from tools.bench.traffic import fairness, handshakes, small, speed
from tools.testing import patience


def settings(**changes: object) -> sections.Settings:
    made = sections.Settings(
        peers=peers.ALL,
        sections=list(sections.SECTIONS),
        offloads=["on", "gro"],
        runs=2,
        seconds=1,
        pings=1,
        idle_peers=1,
        clients=1,
        initiations=1,
        minutes=1,
        vouchers=1,
        sessions=1,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


# Figures.


def test_every_figure_stands_in_one_table() -> None:
    shown = [name for names in figures.TABLES.values() for name in names]
    assert sorted(shown) == sorted(figures.FIGURES)


def test_jains_index() -> None:
    assert figures.jain([3, 3, 3]) == pytest.approx(1)
    assert figures.jain([5, 0, 0, 0]) == pytest.approx(1 / 4)
    assert figures.jain([0, 0]) == 0


def test_the_percentile_is_what_few_exceed() -> None:
    assert figures.percentile(range(1000), 0.99) == 990
    assert figures.percentile([7], 0.99) == 7


# What other programs say.


def test_pings_times_are_microseconds() -> None:
    said = "64 bytes from 10.66.0.2: icmp_seq=1 ttl=64 time=0.123 ms\nrtt min/avg\n... time=2 ms"
    assert speed.parse_ping(said) == pytest.approx([123, 2000])


def test_iperf3_without_a_result_is_an_error_with_its_words() -> None:
    received = {"bits_per_second": 5e6, "bytes": 1000}
    assert speed.parse_iperf(json.dumps({"end": {"sum_received": received}})) == (5, 1000)
    with pytest.raises(ValueError, match="the server is busy"):
        speed.parse_iperf('{"end": {}, "error": "the server is busy"}')


# The search for the highest rate.


@pytest.mark.parametrize("capacity", [900.0, 8000.0, 30_000.0, 271_828.0])
def test_the_search_finds_what_a_link_carries(capacity: float) -> None:
    def trial(rate: float) -> small.Trial:
        return small.Trial(int(rate), int(min(rate, capacity)), 1.0)

    assert small.highest_clean_rate(trial) == pytest.approx(capacity, rel=0.06)


def test_the_search_ends_where_the_sender_can_no_more() -> None:
    asked = []

    def trial(rate: float) -> small.Trial:
        asked.append(rate)
        sent = int(min(rate, 70_000))
        return small.Trial(sent, sent, 1.0)

    assert small.highest_clean_rate(trial) == 70_000
    assert max(asked) < 200_000


def test_one_bad_moment_does_not_end_the_search() -> None:
    asked: list[float] = []

    def trial(rate: float) -> small.Trial:
        asked.append(rate)
        return small.Trial(100, 50 if len(asked) % 2 else 100, 100 / min(rate, 70_000))

    assert small.highest_clean_rate(trial) > 60_000


def test_a_link_that_carries_nothing() -> None:
    assert small.highest_clean_rate(lambda _: small.Trial(1000, 0, 1.0)) == 0


# Handshakes, and shares.


class Provider:
    """A socket behind which every initiation is answered by ``answer``; None is silence."""

    def __init__(self, kind: int, *, silent_for: int = 0) -> None:
        self._kind = kind
        self._silent_for = silent_for
        self._answers: list[bytes] = []

    def send(self, data: bytes, /) -> int:
        if self._silent_for:
            self._silent_for -= 1
        else:
            self._answers.append(struct.pack("<III", self._kind, 99, int.from_bytes(data)))
        return len(data)

    def recv(self, _: int, /) -> bytes:
        if not self._answers:
            raise TimeoutError
        return self._answers.pop()


def initiations(count: int) -> list[Initiation]:
    return [Initiation(None, n, n.to_bytes(4)) for n in range(count)]


def test_answers_are_matched_and_lost_ones_given_up() -> None:
    answers, _ = handshakes.ask(Provider(RESPONSE, silent_for=70), initiations(200))
    assert {each.index for each, _ in answers} == set(range(70, 200))


def test_a_cookie_is_no_handshake() -> None:
    with pytest.raises(AssertionError, match="type 3"):
        handshakes.ask(Provider(COOKIE_REPLY), initiations(3))


def test_shares_are_counted_by_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SETTLING", "_QUIET"):
        monkeypatch.setattr(fairness, name, 0.05)
    with ExitStack() as stack:
        ends = [socket.socketpair() for _ in range(3)]
        for each in (end for two in ends for end in two):
            stack.enter_context(each)
            each.setblocking(False)
        received = fairness.share([a for a, _ in ends], [b for _, b in ends], 0.2)
        assert all(received)
        # Nothing is left over for the next measurement.
        for _, receiver in ends:
            with pytest.raises(BlockingIOError):
                receiver.recv(1)


def test_an_interrupted_share_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    before = threading.active_count()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        with pytest.raises(KeyboardInterrupt):
            fairness.share([left], [right], 1)
    assert threading.active_count() == before


# The plan.


def test_programs_take_turns_in_every_run() -> None:
    blocks = [each for each in sections.plan(settings()) if each.section == "speed"]
    assert [(each.run, each.scene, each.peer) for each in blocks] == [
        (run, scene, name) for run in (1, 2) for scene in ("on", "gro") for name in peers.NAMES
    ]


def test_guards_are_weighed_on_our_engine_alone_once_a_run() -> None:
    blocks = [each for each in sections.plan(settings()) if each.section == "guards"]
    assert [str(each) for each in blocks] == [
        "guards, flowshield, run 1",
        "guards, flowshield, run 2",
    ]


def test_what_protection_costs_is_within_the_noise_or_a_failure() -> None:
    found = readings("flowshield", "switch_tcp", 0.96, 0.98, 0.98)
    found += readings("flowshield", "sandbox_tcp", 0.96)
    said = results(found)
    assert said["kill switch, to none, TCP"] == "PASS"
    assert said["sandbox, to none, TCP"] == "FAIL"
    assert said["kill switch, to none, small packets"] == "-"


def test_the_long_measurement_is_made_once() -> None:
    blocks = [each for each in sections.plan(settings()) if each.section == "growth"]
    assert [str(each) for each in blocks] == ["growth, flowshield, run 1"]


def test_what_is_missing_is_left_out_and_named() -> None:
    class Absent(peers.Bare):
        def missing(self) -> str:
            return "install it"

    asked = settings(peers=[peers.Bare(), Absent("absent")])
    assert __main__.leave_out_what_lacks(asked) == ["absent: install it"]
    assert [each.name for each in asked.peers] == ["veth"]


def test_the_native_path_is_missing_where_it_was_not_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pumps, "HAS_NATIVE", False)
    assert "not built" in peers.FLOWSHIELD.missing()
    assert peers.FLOWSHIELD_PYTHON.missing() == ""


def test_a_block_that_fails_keeps_what_it_had_and_is_a_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = []

    def measure(_: Path) -> figures.Sample:
        try:
            yield "there", 1.0
            raise AssertionError("the wire broke")
        finally:
            ended.append(True)

    found: list[Reading] = []
    problems: list[str] = []
    block = sections.Measurement("speed", "on", "veth", 1, measure)
    __main__.take(block, found, problems)
    assert found == readings("veth", "there", 1.0)
    assert problems == ["speed, veth, offload on, run 1: the wire broke"]
    assert ended
    assert "the wire broke" in capsys.readouterr().err


# A run.


@pytest.mark.netns
def test_a_tiny_run_measures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    written = tmp_path / "bench.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.bench", "--runs", "1", "--seconds", "1"),
            *("--peers", "veth", "flowshield-python", "--pings", "20"),
            *("--only", "speed", "load", "start", "handshakes", "fairness"),
            *("--idle-peers", "50", "--clients", "2", "--initiations", "80"),
            *("--json", str(written)),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output, errors = process.communicate(timeout=patience.seconds(300))
    assert (process.returncode, errors) == (0, ""), output
    found = __main__.load(written)
    for peer, wanted in (
        ("veth", {"there", "back", "four", "small", "small_batches", "round_trip_p99"}),
        ("flowshield-python", {"cpu", "memory_many", "first_packet", "handshakes", "jain_back"}),
    ):
        measured = {each.figure for each in found.readings if each.peer == peer and each.value > 0}
        assert wanted - measured == set()
    assert written.with_suffix(".svg").exists()
    # The names of its namespaces hold its process id.
    assert f"{process.pid:x}" not in run("ip", "netns", "list")


@pytest.mark.netns
@pytest.mark.parametrize("vpn", [peers.OpenVpn(), peers.Nebula()], ids=lambda each: each.name)
def test_the_others_build_a_tunnel(vpn: peers.Vpn, tmp_path: Path) -> None:
    if vpn.missing():
        pytest.fail(vpn.missing())
    with scenes.wired("gro") as net, vpn.up(net, tmp_path) as tunnel:
        assert len(speed.ping(tunnel.alice, tunnel.address, 3)) == 3
        assert len(tunnel.pids) == 2
