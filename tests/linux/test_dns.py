"""The resolver's file: any form that it has before is what it has afterwards."""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from fs_tunnel.errors import SystemChangeError
from fs_tunnel.linux import dns
from fs_tunnel.linux.dns import ResolvConf, Resolvconf, use_resolvers
from fs_tunnel.linux.kinds import from_json, to_json

OURS = "nameserver 10.66.0.1\n"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A resolv.conf that is not the host's."""
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(dns, "_RESOLV_CONF", path)
    return path


def none(_: Path) -> None:
    """There is no file."""


def plain(conf: Path) -> None:
    conf.write_text("nameserver 192.0.2.53\n# kept to the letter: \\n %s é")


def no_text(conf: Path) -> None:
    conf.write_bytes(b"nameserver 192.0.2.53\n# \xff\xfe\x00\n")


def link(conf: Path) -> None:
    target = conf.parent / "stub.conf"
    target.write_text("nameserver 127.0.0.53\n")
    conf.symlink_to("stub.conf")


def dangling(conf: Path) -> None:
    conf.symlink_to("../run/nowhere.conf")


FORMS = [none, plain, no_text, link, dangling]


def state(conf: Path) -> object:
    if conf.is_symlink():
        target = conf.parent / "stub.conf"
        return conf.readlink(), target.read_bytes() if target.exists() else None
    return conf.read_bytes() if conf.exists() else None


def prepared() -> ResolvConf:
    """As another process would read it from the journal."""
    change = from_json(to_json(ResolvConf(OURS).prepared()))
    assert isinstance(change, ResolvConf)
    return change


@pytest.mark.parametrize("form", FORMS)
def test_what_was_there_comes_back(conf: Path, form: Callable[[Path], None]) -> None:
    form(conf)
    before = state(conf)
    change = prepared()
    change.do()
    assert conf.read_text() == OURS
    assert not conf.is_symlink()
    change.undo()
    assert state(conf) == before
    change.undo()
    assert state(conf) == before


@pytest.mark.parametrize("form", FORMS)
def test_undo_of_what_was_never_done_changes_nothing(
    conf: Path, form: Callable[[Path], None]
) -> None:
    form(conf)
    before = state(conf)
    prepared().undo()
    assert state(conf) == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [None, 0, 5])
def test_half_a_file_of_a_crash_is_undone(
    conf: Path, form: Callable[[Path], None], length: int | None
) -> None:
    form(conf)
    before = state(conf)
    change = prepared()
    conf.unlink(missing_ok=True)
    if length is not None:
        conf.write_text(OURS[:length])
    change.undo()
    assert state(conf) == before


@pytest.mark.parametrize("form", FORMS)
def test_what_another_program_put_there_since_stays(
    conf: Path, form: Callable[[Path], None]
) -> None:
    form(conf)
    change = prepared()
    change.do()
    conf.write_text("nameserver 198.51.100.53\n")
    change.undo()
    assert conf.read_text() == "nameserver 198.51.100.53\n"


def test_a_file_is_changed_in_place(conf: Path) -> None:
    """It may be a mount point, as in a container."""
    plain(conf)
    conf.chmod(0o640)
    inode = conf.stat().st_ino
    change = prepared()
    change.do()
    change.undo()
    assert (conf.stat().st_ino, conf.stat().st_mode & 0o777) == (inode, 0o640)


def test_a_file_that_cannot_be_written_is_an_error_with_a_remedy(conf: Path) -> None:
    conf.mkdir()
    with pytest.raises(SystemChangeError, match=r"cannot be read: .*remove DNS from the file"):
        ResolvConf(OURS).prepared()
    with pytest.raises(SystemChangeError, match=r"cannot be written: .*remove DNS from the file"):
        ResolvConf(OURS).do()


def test_without_resolvconf_the_file_says_who_wrote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    servers = [ip_address("10.66.0.1"), ip_address("fd66::1")]
    change = use_resolvers("wg0", servers, ["example.net", "example.org"])
    assert isinstance(change, ResolvConf)
    comment, *lines = change.content.splitlines()
    assert comment.startswith("#")
    assert "wg0" in comment
    assert lines == [
        "nameserver 10.66.0.1",
        "nameserver fd66::1",
        "search example.net example.org",
    ]


@pytest.mark.parametrize(
    ("order", "entry"),
    [
        (None, "wg0"),
        ("lo.inet*\nlo.dnsmasq\ntun*\n", "tun.wg0"),
        ("# nothing of use\n", "wg0"),
        ("$(touch x)*\n", "wg0"),
    ],
)
def test_resolvconf_is_told_through_arguments_and_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str | None, entry: str
) -> None:
    program = tmp_path / "resolvconf"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n[ "$1" = -d ] || cat >> {tmp_path}/log\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    interface_order = tmp_path / "interface-order"
    if order is not None:
        interface_order.write_text(order)
    monkeypatch.setattr(dns, "_INTERFACE_ORDER", interface_order)

    change = use_resolvers("wg0", [ip_address("10.66.0.1")], [])
    assert change == Resolvconf(entry, OURS)
    change.do()
    change.undo()
    assert (tmp_path / "log").read_text() == f"-a {entry} -m 0 -x\n{OURS}-d {entry} -f\n"


def test_a_resolvconf_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "resolvconf"
    program.write_text("#!/bin/sh\necho it is full >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(SystemChangeError, match=r"resolvconf -a wg0 -m 0 -x: it is full"):
        Resolvconf("wg0", OURS).do()
