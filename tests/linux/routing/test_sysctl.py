# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Kernel parameters get their earlier value back, unless another program set them since."""

from pathlib import Path

import pytest

from fs_tunnel.linux.routing import sysctl
from fs_tunnel.linux.routing.sysctl import Sysctl, read
from fs_wire.errors import PrivilegeError, SystemChangeError

KEY = "net/ipv4/conf/eth0.100/forwarding"


@pytest.fixture
def parameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A parameter of a VLAN's interface, whose name holds a dot; its value is 0."""
    monkeypatch.setattr(sysctl, "_ROOT", tmp_path)
    path = tmp_path / KEY
    path.parent.mkdir(parents=True)
    path.write_text("0\n")
    return path


def test_it_is_restored(parameter: Path) -> None:
    change = Sysctl(KEY, "1").prepared()
    assert change.before == "0"
    change.do()
    assert read(KEY) == "1"
    change.undo()
    assert read(KEY) == "0"
    change.undo()
    assert read(KEY) == "0"


def test_what_is_set_already_is_not_written(parameter: Path) -> None:
    parameter.write_text("1\n")
    change = Sysctl(KEY, "1").prepared()
    change.do()
    change.undo()
    assert parameter.read_text() == "1\n"


def test_undo_of_what_was_never_done_changes_nothing(parameter: Path) -> None:
    Sysctl(KEY, "1").prepared().undo()
    assert parameter.read_text() == "0\n"


def test_what_somebody_else_set_since_stays(parameter: Path) -> None:
    change = Sysctl(KEY, "1").prepared()
    change.do()
    parameter.write_text("2\n")
    change.undo()
    assert parameter.read_text() == "2\n"


def test_a_parameter_that_went_with_its_interface_is_undone(parameter: Path) -> None:
    change = Sysctl(KEY, "1").prepared()
    change.do()
    parameter.unlink()
    change.undo()
    assert not parameter.exists()


def test_a_parameter_that_this_kernel_lacks_is_an_error(parameter: Path) -> None:
    with pytest.raises(SystemChangeError, match=r"net.ipv6.conf.all.forwarding=1: No such file"):
        Sysctl("net/ipv6/conf/all/forwarding", "1").prepared().do()


def test_without_the_right_to_it_root_is_asked_for(
    parameter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PrivilegeError, match="run as root"):
        Sysctl(KEY, "1").prepared().do()
