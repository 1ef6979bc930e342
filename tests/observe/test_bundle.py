# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The bundle of a real host with real tunnels: it holds the useful facts, and no secret."""

import base64
import io
import json
import os
import re
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.linux.dns.host_resolver import ResolvConf, Resolvconf
from fs_tunnel.linux.dns.resolved import ResolvedLink
from fs_tunnel.linux.journal.hooks import HookChange
from fs_tunnel.linux.journal.journal import Header
from fs_tunnel.observe import diagnosis
from fs_tunnel.observe.bundle import pack
from fs_tunnel.observe.diagnosis import Gathered, resolver_lines
from fs_wire.errors import SystemChangeError
from tests.netns.peers import generate_psk
from tests.netns.served import expect_ok, served, write_private


def unpacked(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        members = {each.name: opened.extractfile(each) for each in opened.getmembers()}
        return {name: stream.read().decode() for name, stream in members.items() if stream}


@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5),
    st.lists(st.integers(0x0B000001, 0x637FFFFF), max_size=5),
    st.text(max_size=20),
)
def test_no_secret_comes_out_wherever_it_was(
    keys: list[bytes], addresses: list[int], filler: str
) -> None:
    secrets = [base64.b64encode(key).decode() for key in keys] + [key.hex() for key in keys]
    secrets += [
        ".".join(str(each >> shift & 255) for shift in (24, 16, 8, 0)) for each in addresses
    ]
    gathered = Gathered(
        files={
            "logs.txt": "".join(f"{filler} {each}\n" for each in secrets),
            "status.json": {"peers": {each: {filler: [each]} for each in secrets}},
            "journal/x.json": [f"elements = {{ {', '.join(secrets)} }}"],
        }
    )
    found = unpacked(pack(gathered, key=os.urandom(32), folder="f"))
    assert set(found) == {"f/logs.txt", "f/status.json", "f/journal/x.json"}
    everything = "".join(found.values())
    assert [each for each in secrets if each in everything] == []


def test_comments_of_a_resolvers_file_are_left_out() -> None:
    text = (
        "# my bank's\nnameserver 11.1.1.1 # home\n; note\noptions edns0\n# Written by fs-tunnel x"
    )
    assert (
        resolver_lines(text)
        == "nameserver 11.1.1.1 # home\noptions edns0\n# Written by fs-tunnel\n"
    )


def test_what_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(argv: object) -> str:
        raise SystemChangeError("it is not installed; install it")

    monkeypatch.setattr(diagnosis, "run", fail)
    assert diagnosis.gather().files["ruleset.txt"] == (
        "not to be had: it is not installed; install it\n"
    )


def test_a_journal_tells_neither_domains_nor_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = SimpleNamespace(
        header=Header(
            "up", "/home/alice/wg0.conf", "boot", {"vpn.a.example:7": "11.1.1.1:7"}, True
        ),
        changes=[
            ResolvedLink("wg0", ("11.1.1.2",), ("b.example",), takes_all=False),
            Resolvconf("wg0", "nameserver 11.1.1.2\nsearch c.example\n"),
            ResolvConf("# x\nsearch d.example\n", "file:search e.example\n# f.example"),
            HookChange("wg0", "outer", ("wg set secret", ""), ()),
        ],
        is_settled=True,
    )
    monkeypatch.setattr(diagnosis, "journalled", lambda: ["wg0"])
    monkeypatch.setattr(diagnosis, "Journal", lambda _: journal)
    gathered = diagnosis.gather()
    gathered.files["logs.txt"] = "a.example vpn.a.example b.example c.example d.example e.example"
    found = unpacked(pack(gathered, key=os.urandom(32), folder="f"))
    told = found["f/journal/wg0.json"]
    assert [each for each in ("example", "alice", "secret", "11.1.1.") if each in told] == []
    assert found["f/logs.txt"].count("example") == 1  # of a.example, which nothing names


@pytest.mark.netns
def test_a_real_host_with_real_tunnels(tmp_path: Path) -> None:
    with served(tmp_path) as scene:
        psk = generate_psk()
        name, search = "gateway.customer.example", "corp.customer.example"
        client = scene.client
        etc = Path("/etc/netns") / client.namespace.name
        etc.mkdir(parents=True)
        try:
            (etc / "resolv.conf").write_text(f"nameserver 198.51.100.1\nsearch {search}\n")
            (etc / "hosts").write_text(f"198.51.100.1 {name}\n")
            text = client.conf.read_text().replace("198.51.100.1:", f"{name}:")
            write_private(
                client.conf,
                text.replace("[Peer]", f"DNS = 10.66.0.1, {search}\n[Peer]\nPresharedKey = {psk}"),
            )
            provider = scene.conf.read_text()
            write_private(
                scene.conf,
                provider.replace("[Peer]", f"[Peer]\nPresharedKey = {psk}", 1),
            )
            scene.serve()
            scene.up()
            client.namespace.run("ping", "-c", "1", "-W", "10", "10.66.0.1")
            path = tmp_path / "bundle.tar.gz"
            said = scene.fs_tunnel(client.namespace, "debug", "bundle", "-o", path)
            expect_ok(said)
        finally:
            for each in etc.iterdir():
                each.unlink()
            etc.rmdir()
    assert said.out == f"{path} is written; look through it before you send it\n"
    assert path.stat().st_mode & 0o777 == 0o600
    found = {
        member.partition("/")[2]: content for member, content in unpacked(path.read_bytes()).items()
    }
    everything = "".join(found.values())
    keys = (client.keys.private, client.keys.public, scene.keys.private, scene.keys.public, psk)
    hidden = [*keys, *(base64.b64decode(key).hex() for key in keys)]
    hidden += [name, search, "customer", "198.51.100.", "10.66.0.", "fd66:", client.v6]
    assert [each for each in hidden if each in everything] == []

    assert {"about.json", "status.json", "ruleset.txt", "routes.txt", "rules.txt"} <= set(found)
    tunnels = {each["name"]: each for each in json.loads(found["status.json"])["tunnels"]}
    assert tunnels[client.name]["state"] == "connected"
    # The provider's view of the client and the client's journal tell of the same keys.
    assert set(tunnels[scene.name]["engine"]["peers"]) != set(
        tunnels[client.name]["engine"]["peers"]
    )
    journal = json.loads(found[f"journal/{client.name}.json"])
    kinds = [change["change"] for change in journal["changes"]]
    assert {"Unreachable", "NftTable", "Link", "Address"} <= set(kinds)
    assert re.search(r"unreachable default .*table 51820", found["routes.txt"])
    assert re.search(r"nameserver <ip-\w+>", found["resolv.conf"])
    assert json.loads(found["sysctls.json"])["net/ipv4/conf/all/src_valid_mark"] == "1"
    assert json.loads(found["about.json"])["privileges"]["CapEff"]


@pytest.mark.netns
def test_neither_a_configuration_nor_uapi_is_read(tmp_path: Path) -> None:
    """They hold private keys; so an engine whose UAPI is out of reach makes no difference."""
    with served(tmp_path) as scene:
        scene.up()
        path = tmp_path / "bundle.tar.gz"
        done = scene.fs_tunnel(
            scene.client.namespace,
            *("-o", path),
            module="tests.observe.traced_bundle",
        )
    assert done.code == 0, done
    opened = done.err.splitlines()
    assert any(each.endswith(".control") for each in opened)
    assert [
        each for each in opened if each.endswith((".sock", ".conf")) and "resolv" not in each
    ] == []
