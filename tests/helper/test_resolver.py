# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The resolver of a provider's clients, over a real tunnel, with a real one behind it."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR

from tests.helper.asking import helper_pid, helper_status
from tests.netns.served import (
    GATEWAY_V4,
    GATEWAY_V6,
    LAB,
    PROVIDER_WAN_V4,
    WEB_V4,
    Finished,
    Served,
    expect_ok,
    served,
    write_private,
)
from tests.netns.topology import REPOSITORY, Namespace
from tests.netns.waiting import wait_until
from tools.testing import patience

pytestmark = pytest.mark.netns

ADDRESS = "203.0.113.77"
NO_SUCH_NAME = 3
CAP_NET_BIND_SERVICE = 1 << 10
BLOCKED = "# ads\n0.0.0.0 ads.example.test\n"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        folder = Path("/etc/netns") / made.provider.name
        folder.mkdir(parents=True)
        try:
            (folder / "resolv.conf").write_text(f"nameserver {WEB_V4}\n")
            made.web.start(
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"),
                *("--no-hosts", f"--address=/example.test/{ADDRESS}", "--user=root", "--pid-file"),
            )
            write_private(tmp_path / "blocked", BLOCKED)
            yield made
        finally:
            shutil.rmtree(folder)


def serve_without_dnsmasq(scene: Served, *options: str) -> None:
    """Serve while dnsmasq is covered up, for this command and for all that it starts."""
    scene.provider.run(
        *("unshare", "--mount", "sh", "-c"),
        'mount --bind /dev/null /usr/sbin/dnsmasq && exec "$@"',
        *("sh", *scene.command("serve", "--wan", "wan", *LAB, *options, scene.conf)),
        env=scene.env,
    )


def ask(where: Namespace, name: str, server: str = GATEWAY_V4, *, tcp: bool = False) -> DNS | None:
    """One question for an IPv4 address; None without an answer."""
    question = bytes(DNS(id=4711, rd=1, qd=DNSQR(qname=name)))
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with where.open_socket(family, kind) as sock:
        sock.settimeout(2.0)
        try:
            sock.connect((server, 53))
            if tcp:
                question = len(question).to_bytes(2, "big") + question
            sock.sendall(question)
            answer = sock.recv(4096)
        except OSError:
            return None
    parsed = DNS(answer[2:] if tcp else answer)
    assert parsed.id == 4711
    return parsed


def address_of(answer: DNS | None) -> str | None:
    return answer.an[0].rdata if answer and answer.ancount else None


def answered(scene: Served) -> None:
    """The client's questions are answered: once the resolver has started."""
    wait_until(
        lambda: address_of(ask(scene.client.namespace, "www.example.test")) == ADDRESS,
        what="a name is resolved",
    )


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def resolver_pid(scene: Served) -> int:
    return wait_until(
        lambda: helper_status(scene, scene.name)["resolver"] or 0, what="the resolver runs"
    )


@pytest.mark.parametrize("program", ["dnsmasq", "forwarder"])
def test_clients_have_a_resolver(scene: Served, program: str) -> None:
    blocked = ("--dns-block", str(scene.folder / "blocked"))
    if program == "dnsmasq":
        scene.serve("--wan", "wan", *blocked)
    else:
        serve_without_dnsmasq(scene, *blocked)
    scene.up()
    answered(scene)
    client = scene.client.namespace
    pid = resolver_pid(scene)
    assert program in Path(f"/proc/{pid}/cmdline").read_text()

    for server in (GATEWAY_V4, GATEWAY_V6):
        for tcp in (False, True):
            assert address_of(ask(client, "www.example.test", server, tcp=tcp)) == ADDRESS
    for name in ("ads.example.test", "x.ADS.example.test"):
        answer = ask(client, name)
        assert answer is not None
        assert (answer.rcode, answer.ancount) == (NO_SUCH_NAME, 0)
    assert address_of(ask(client, "uploads.example.test")) == ADDRESS

    status = status_of(pid)
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) & ~CAP_NET_BIND_SERVICE == 0
    assert status["NoNewPrivs"] == "1"

    # Nobody outside is answered, neither at the gateway's address nor at another one.
    scene.web.ip("route", "add", f"{GATEWAY_V4}/32", "via", PROVIDER_WAN_V4)
    for server in (GATEWAY_V4, PROVIDER_WAN_V4):
        assert ask(scene.web, "www.example.test", server) is None

    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: resolver_pid(scene) != pid, what="it was started again")
    answered(scene)

    scene.down(client, scene.client.conf)
    scene.down(scene.provider, scene.conf)
    wait_until(lambda: not scene.provider.pids(), what="no process is left")
    assert list((scene.folder / "run").iterdir()) == []


def test_it_ends_with_its_helper(scene: Served) -> None:
    scene.serve("--wan", "wan")
    pid = resolver_pid(scene)
    os.kill(helper_pid(scene, scene.name), signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the resolver has ended")
    scene.down(scene.provider, scene.conf)
    assert list((scene.folder / "run").iterdir()) == []


def test_serving_again_takes_other_settings(scene: Served) -> None:
    scene.serve("--wan", "wan")
    scene.up()
    answered(scene)
    helper = helper_pid(scene, scene.name)
    scene.serve("--wan", "wan", "--dns-block", str(scene.folder / "blocked"))

    def is_blocked() -> bool:
        answer = ask(scene.client.namespace, "ads.example.test")
        return answer is not None and answer.rcode == NO_SUCH_NAME

    wait_until(is_blocked, what="the name is blocked")
    scene.serve("--wan", "wan", "--no-dns")
    assert helper_status(scene, scene.name) == {
        "ok": True,
        "pid": helper,
        "changes": [],
        "resolver": None,
        "resolver_failure": "",
        "market": None,
        "failover": None,
    }
    assert ask(scene.client.namespace, "www.example.test") is None


def serve(scene: Served, *options: str | Path) -> Finished:
    return scene.fs_tunnel(scene.provider, "serve", "--wan", "wan", *LAB, *options, scene.conf)


def test_a_port_that_is_taken_is_told_and_nothing_else_suffers(scene: Served) -> None:
    with scene.provider.udp_socket("0.0.0.0", 53):
        finished = serve(scene)
        expect_ok(finished)
        assert finished.err.count("\n") == 1
        assert "clients get no resolver: port 53 of 10.66.0.1: Address already in use" in (
            finished.err
        )
        assert "--no-dns" in finished.err
        assert helper_status(scene, scene.name)["resolver"] is None
        scene.up()
        scene.client.namespace.run("ping", "-n", "-c", "1", "-w", "10", WEB_V4)
    # Once it is free, serving again is enough.
    expect_ok(serve(scene))
    answered(scene)


def test_a_list_that_is_none_is_refused_by_line(scene: Served) -> None:
    write_private(scene.folder / "blocked", "ads.example.test\n\nhttp://ads.example.test/\n")
    finished = serve(scene, "--dns-block", scene.folder / "blocked")
    assert finished.code == 2
    assert f"{scene.folder}/blocked:3: not a DNS name" in finished.err
    assert not scene.provider.has_link(scene.name)


def test_it_needs_no_more_of_root_than_the_unit_gives(scene: Served) -> None:
    unit = REPOSITORY / "packaging" / "systemd" / "fs-tunnel-serve@.service"
    lines = [each for each in unit.read_text().splitlines() if "CapabilityBoundingSet=" in each]
    said = " ".join(each.partition("=")[2] for each in lines)
    names = said.lower().replace("cap_", "").split()
    process = scene.provider.start(
        *("setpriv", f"--bounding-set=-all,+{',+'.join(names)}", "--inh-caps=-all"),
        *("--no-new-privs", *scene.command("serve", "-f", "--wan", "wan", *LAB, scene.conf)),
        env=scene.env,
    )
    wait_until(lambda: scene.provider.has_link(scene.name), what="the provider serves")
    wait_until((scene.folder / "run" / f"{scene.name}.helper").exists, what="its helper is there")
    pid = resolver_pid(scene)
    scene.up()
    answered(scene)
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience.seconds(20)) == 0
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the resolver has ended")
    wait_until(lambda: not scene.provider.pids(), what="no process is left")
