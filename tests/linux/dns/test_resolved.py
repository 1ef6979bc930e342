# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The real systemd-resolved on its own D-Bus: the server that resolves each name."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fs_tunnel.linux.dns import system_bus
from fs_tunnel.linux.dns.resolved import ResolvedLink, is_serving
from fs_wire.errors import SystemChangeError
from tests.leaks.probes import UPLINK
from tests.netns.resolved import Bus, Resolved, bus, resolved
from tests.netns.served import GATEWAY_V4, Finished, Served, expect_ok, host_state, served
from tests.netns.topology import Namespace, Topology
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns

OUTSIDE_V4 = "198.51.100.1"  # the provider's machine, as the client's network knows it
# What the resolvers answer to any question.
SAID_INSIDE, SAID_OUTSIDE = "192.0.2.66", "192.0.2.99"
STUB_FILE = "nameserver 127.0.0.53\noptions edns0\n"
FOREIGN_FILE = "nameserver 192.0.2.53\n"
TUN = "dns0"


@dataclass
class Scene:
    """A client that asks resolved, whose uplink has a resolver; nothing is up yet."""

    served: Served
    resolved: Resolved
    log: Path  # of the resolver outside
    resolv_conf: Path

    @property
    def home(self) -> Namespace:
        return self.served.client.namespace

    @property
    def name(self) -> str:
        return self.served.client.name

    def fs_tunnel(self, *arguments: str | Path) -> Finished:
        env = self.resolved.bus.env
        return self.served.fs_tunnel(self.home, *arguments, env=env)

    def up(self, *, dns: str, allowed: str = "0.0.0.0/0, ::/0") -> Finished:
        conf = self.served.client.conf
        text = conf.read_text().replace("0.0.0.0/0, ::/0", allowed)
        conf.write_text(text.replace("[Peer]", f"DNS = {dns}\n[Peer]"))
        done = self.fs_tunnel("up", conf)
        expect_ok(done)
        return done

    def ask_until(self, name: str, answer: str) -> None:
        wait_until(lambda: self.resolved.ask(name) == answer, what=f"{name} is {answer}")

    def asked_outside(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if "query[" in line]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with served(tmp_path) as made, contextlib.ExitStack() as stack:
        home, provider = made.client.namespace, made.provider
        etc = Path("/etc/netns") / home.name
        etc.mkdir(parents=True)
        stack.callback(etc.rmdir)
        (etc / "resolv.conf").write_text(STUB_FILE)
        stack.callback((etc / "resolv.conf").unlink)
        made.serve("--no-dns")  # ours answers there
        log = tmp_path / "outside.log"
        log.touch()
        for address, said, extra in (
            (GATEWAY_V4, SAID_INSIDE, ()),
            (OUTSIDE_V4, SAID_OUTSIDE, ("--log-queries", f"--log-facility={log}")),
        ):
            provider.start(
                *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"),
                *("--user=root", "--bind-interfaces", f"--listen-address={address}"),
                *(f"--address=/#/{said}", "--pid-file=", *extra),
            )
        client = stack.enter_context(resolved(home, tmp_path))
        uplink = client.index(UPLINK)
        client.call("SetLinkDNS", "ia(iay)", uplink, [(2, socket.inet_aton(OUTSIDE_V4))])
        client.call("SetLinkDomains", "ia(sb)", uplink, [("corp.example", False)])
        found = Scene(made, client, log, etc / "resolv.conf")
        found.ask_until("before.example", SAID_OUTSIDE)
        log.write_text("")
        yield found


def test_a_full_tunnel_asks_its_own_resolver_for_every_name(scene: Scene) -> None:
    before, uplink = host_state(scene.home), scene.resolved.link(UPLINK)
    scene.up(dns=f"{GATEWAY_V4}, fd66::1, example.net")
    link = scene.resolved.link(scene.name)
    assert link["DNS"] == [
        (socket.AF_INET, socket.inet_aton(GATEWAY_V4)),
        (socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "fd66::1")),
    ]
    assert link["Domains"] == [("example.net", False), (".", True)]
    assert link["DefaultRoute"] is True
    off = ("LLMNR", "MulticastDNS", "DNSOverTLS", "DNSSEC")
    assert {link[name] for name in off} == {"no"}
    scene.ask_until("a.example", SAID_INSIDE)
    # The uplink's own domain is asked outside by resolved, and held by the kill switch.
    assert scene.resolved.ask("host.corp.example") != SAID_OUTSIDE
    assert scene.asked_outside() == []
    assert scene.resolv_conf.read_text() == STUB_FILE

    expect_ok(scene.fs_tunnel("down", scene.name))
    assert host_state(scene.home) == before
    assert scene.resolved.link(UPLINK) == uplink
    scene.ask_until("a.example", SAID_OUTSIDE)  # what was known inside is forgotten


def test_a_crash_closes_the_way_and_cleanup_gives_it_back(scene: Scene) -> None:
    before = host_state(scene.home)
    scene.up(dns=GATEWAY_V4)
    scene.ask_until("a.example", SAID_INSIDE)
    shown = scene.fs_tunnel("status", "--json", scene.name)
    os.kill(json.loads(shown.out)["tunnels"][0]["pid"], signal.SIGKILL)
    wait_until(lambda: not scene.home.has_link(scene.name), what="the link is gone")
    assert scene.resolved.ask("b.example") != SAID_OUTSIDE
    assert scene.asked_outside() == []
    # We start the dead tunnel again, and configure resolved again.
    expect_ok(scene.fs_tunnel("up", scene.served.client.conf))
    scene.ask_until("c.example", SAID_INSIDE)
    shown = scene.fs_tunnel("status", "--json", scene.name)
    os.kill(json.loads(shown.out)["tunnels"][0]["pid"], signal.SIGKILL)
    wait_until(lambda: not scene.home.has_link(scene.name), what="the link is gone")
    expect_ok(scene.fs_tunnel("cleanup"))
    assert host_state(scene.home) == before
    scene.ask_until("b.example", SAID_OUTSIDE)


def test_a_split_tunnel_is_asked_for_its_domains_alone(scene: Scene) -> None:
    scene.up(dns=f"{GATEWAY_V4}, inside.example", allowed="10.66.0.0/24")
    link = scene.resolved.link(scene.name)
    assert link["Domains"] == [("inside.example", False)]
    assert link["DefaultRoute"] is False
    scene.ask_until("host.inside.example", SAID_INSIDE)
    scene.ask_until("host.elsewhere.example", SAID_OUTSIDE)
    # Applied anew with another domain, the first one is forgotten.
    conf = scene.served.client.conf
    conf.write_text(conf.read_text().replace("inside.example", "other.example"))
    expect_ok(scene.fs_tunnel("up", conf))
    assert scene.resolved.link(scene.name)["Domains"] == [("other.example", False)]
    scene.ask_until("host.inside.example", SAID_OUTSIDE)


def test_a_split_tunnel_without_domains_is_not_asked(scene: Scene) -> None:
    done = scene.up(dns=GATEWAY_V4, allowed="10.66.0.0/24")
    assert "its servers are not used; add to DNS the domains" in done.err
    assert scene.resolved.link(scene.name)["DNS"] == []
    scene.ask_until("a.example", SAID_OUTSIDE)


def test_a_file_that_leads_elsewhere_is_changed_too(scene: Scene) -> None:
    scene.resolv_conf.write_text(FOREIGN_FILE)
    before = host_state(scene.home)
    scene.up(dns=GATEWAY_V4)
    assert scene.resolved.link(scene.name)["DefaultRoute"] is True
    assert f"nameserver {GATEWAY_V4}\n" in scene.home.run("cat", "/etc/resolv.conf")
    expect_ok(scene.fs_tunnel("up", scene.served.client.conf))
    expect_ok(scene.fs_tunnel("down", scene.name))
    assert host_state(scene.home) == before


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolved]:
    """A resolved beside an interface, and we on its bus."""
    with Topology() as topology, resolved(topology.namespace("home"), tmp_path) as made:
        made.where.ip("tuntap", "add", TUN, "mode", "tun")
        made.where.ip("link", "set", TUN, "up")
        for name, value in made.bus.env.items():
            monkeypatch.setenv(name, value)
        yield made


def test_what_a_link_was_told_is_taken_back_while_it_stays(alone: Resolved) -> None:
    before = alone.link(TUN)
    change = ResolvedLink(TUN, ("10.66.0.1",), (), takes_all=True)
    with alone.where.entered():
        change.undo()
        change.do()
        assert alone.link(TUN)["DNS"]
        change.redo()
        change.undo()
        assert alone.link(TUN) == before
        change.undo()


def test_it_serves_the_namespace_in_which_it_listens(alone: Resolved) -> None:
    with alone.where.entered():
        assert is_serving()
    with Topology() as topology, topology.namespace("other").entered():
        assert not is_serving()


def test_a_link_that_is_gone_is_no_hindrance_to_its_undoing(alone: Resolved) -> None:
    change = ResolvedLink(TUN, ("10.66.0.1",), (), takes_all=True)
    with alone.where.entered():
        change.do()
        alone.where.ip("link", "delete", TUN)
        change.undo()
        with pytest.raises(SystemChangeError, match=r"no interface dns0; its engine has ended"):
            change.do()


def test_what_resolved_refuses_is_told_with_the_remedy(alone: Resolved) -> None:
    with (
        alone.where.entered(),
        pytest.raises(SystemChangeError, match=r"refused SetLink\w+: .*remove DNS from the file"),
    ):
        ResolvedLink("lo", ("10.66.0.1",), (), takes_all=True).do()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """A bus on which there is no resolved."""
    with Topology() as topology, bus(topology.namespace("home"), tmp_path) as made:
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.usefixtures("empty")
def test_without_resolved_nothing_is_to_be_undone() -> None:
    change = ResolvedLink("lo", ("10.66.0.1",), (), takes_all=True)
    assert not is_serving()
    change.undo()
    with pytest.raises(SystemChangeError, match="remove DNS from the file"):
        change.do()


@pytest.mark.parametrize("address", ["unix:path=/nonexistent", "tcp:host=127.0.0.1"])
def test_without_a_bus_nothing_is_to_be_undone(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    change = ResolvedLink("lo", ("10.66.0.1",), (), takes_all=True)
    assert not is_serving()
    change.undo()
    with pytest.raises(SystemChangeError, match="D-Bus cannot be reached"):
        change.do()


def test_a_bus_that_hangs_is_waited_for_a_while(
    empty: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_bus, "_DEADLINE", 0.2)
    for pid in empty.where.pids():
        os.kill(pid, signal.SIGSTOP)
    assert not is_serving()
    for pid in empty.where.pids():
        os.kill(pid, signal.SIGCONT)


def test_a_service_that_hangs_is_waited_for_a_while(
    alone: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_bus, "_DEADLINE", 0.5)
    (pid,) = (
        pid
        for pid in alone.where.pids()
        if Path(f"/proc/{pid}/comm").read_text().startswith("systemd-resol")
    )
    os.kill(pid, signal.SIGSTOP)
    with (
        alone.where.entered(),
        pytest.raises(SystemChangeError, match=r"did not answer .*remove DNS from the file"),
    ):
        ResolvedLink(TUN, ("10.66.0.1",), (), takes_all=True).do()
    os.kill(pid, signal.SIGCONT)
