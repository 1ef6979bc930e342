# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What is imported before root is given up."""

import subprocess
import sys

import pytest

from tests.netns.topology import REPOSITORY


def loaded(*names: str) -> set[str]:
    script = f"import sys; from fs_wire import late_imports; late_imports.load(*{names!r}); "
    done = subprocess.run(
        [sys.executable, "-c", f"{script} print(*sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_what_python_imports_late_is_there_and_modules_that_are_named() -> None:
    found = loaded("wave")
    assert {"encodings.idna", "concurrent.futures.thread", "wave"} <= found
    assert "multiaddr.codecs.cid" not in found


def test_a_star_stands_for_the_modules_of_a_package() -> None:
    pytest.importorskip("multiaddr")
    codecs = {f"multiaddr.codecs.{each}" for each in ("cid", "domain", "ip4", "uint16be", "utf8")}
    assert codecs <= loaded("multiaddr.codecs.*")
