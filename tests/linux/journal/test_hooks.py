# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The administrator's shell lines: who may write them, when they run, and how they fail."""

import logging
import os
from pathlib import Path

import pytest

from fs_tunnel.config import TunnelConfig, load
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.hooks import HookChange, check_allowed, surround
from fs_tunnel.linux.journal.kinds import from_json, to_json
from fs_tunnel.linux.routing.links import Link
from fs_wire.errors import ConfigError, SystemChangeError
from fs_wire.types import PrivateKey

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of root's")


def write(path: Path, *hooks: str) -> TunnelConfig:
    key = PrivateKey(os.urandom(32)).to_base64()
    path.write_text("\n".join(["[Interface]", f"PrivateKey = {key}", *hooks]) + "\n")
    return load(path)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "wg0.conf"


def refusal(config: TunnelConfig, *, allowed: bool = True) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check_allowed(config, allowed=allowed)
    return caught.value


# The files that may have hooks.


def test_hooks_are_refused_unless_asked_for(conf: Path) -> None:
    config = write(conf, "", "PreDown = true", "PostUp = false")
    error = refusal(config, allowed=False)
    assert (error.source, error.line, error.key) == (str(conf), 4, "PreDown")
    assert "--allow-hooks" in str(error)


def test_a_file_without_hooks_needs_no_leave(conf: Path) -> None:
    config = write(conf)
    conf.chmod(0o666)
    for allowed in (False, True):
        check_allowed(config, allowed=allowed)


@needs_root
def test_a_file_that_is_roots_alone_is_allowed(conf: Path) -> None:
    check_allowed(write(conf, "PostUp = true"), allowed=True)


@needs_root
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(conf: Path, mode: int) -> None:
    config = write(conf, "PostUp = true")
    conf.chmod(mode)
    assert f"{conf} can be written by others" in str(refusal(config))


@needs_root
def test_a_file_of_another_user_is_refused(conf: Path) -> None:
    config = write(conf, "PostUp = true")
    os.chown(conf, 65534, 0)
    assert "written by others" in str(refusal(config))


@needs_root
def test_a_directory_that_others_may_write_is_refused_unless_sticky(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    config = write(folder / "wg0.conf", "PostUp = true")
    folder.parent.chmod(0o777)
    assert f"{folder.parent} can be written by others" in str(refusal(config))
    folder.parent.chmod(0o1777)
    check_allowed(config, allowed=True)
    os.chown(folder.parent, 65534, 0)
    assert f"{folder.parent} can be written by others" in str(refusal(config))


@needs_root
def test_a_link_is_followed_and_cannot_have_led_elsewhere_before(tmp_path: Path) -> None:
    """Eve's link points to her file while it is read, and to root's while it is looked at."""
    mine, hers, link = tmp_path / "wg0.conf", tmp_path / "eve.conf", tmp_path / "x.conf"
    write(mine, "PostUp = true")
    write(hers, "PostUp = touch /tmp/eve-was-here")
    link.symlink_to(mine)
    check_allowed(load(link), allowed=True)
    link.unlink()
    link.symlink_to(hers)
    config = load(link)
    link.unlink()
    link.symlink_to(mine)
    assert "changed meanwhile" in str(refusal(config))


# What they do.


def test_they_run_in_order_with_the_interfaces_name(tmp_path: Path) -> None:
    log = tmp_path / "log"
    change = HookChange(
        "wg-0+a", "inner", (f"echo up %i %% >> {log}", f"echo two >> {log}"), (f"echo %i >> {log}",)
    )
    change = from_json(to_json(change))  # type: ignore[assignment]
    change.do()
    change.redo()
    change.undo()
    assert log.read_text().splitlines() == ["up wg-0+a %%", "two", "wg-0+a"]


def test_one_that_fails_on_the_way_up_is_an_error_and_the_next_does_not_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(SystemChangeError, match=r"'exit 7' ended with 7; mend or remove it"):
        HookChange("wg0", "inner", ("exit 7", f"touch {log}"), ()).do()
    assert not log.exists()


def test_one_that_fails_on_the_way_down_is_told_and_the_next_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    with caplog.at_level(logging.WARNING):
        HookChange("wg0", "inner", (), ("exit 7", f"touch {log}")).undo()
    assert "'exit 7' ended with 7" in caplog.text
    assert log.exists()


def test_they_stand_around_the_changes_as_wg_quick_runs_them(conf: Path) -> None:
    config = write(conf, "PostDown = d", "PostUp = b", "PreUp = a", "PreDown = c", "PostUp = b2")
    plan: list[Change] = [Link("wg0")]
    outer, link, inner = surround(config, plan)
    assert link == plan[0]
    assert outer == HookChange("wg0", "outer", ("a",), ("d",))
    assert inner == HookChange("wg0", "inner", ("b", "b2"), ("c",))
    assert surround(write(conf), plan) == plan


def test_other_lines_take_the_place_of_the_former() -> None:
    one = HookChange("wg0", "inner", ("a",), ())
    two = HookChange("wg0", "inner", (), ("b",))
    assert one.place == two.place
    assert one.place != HookChange("wg0", "outer", ("a",), ()).place
