# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Where clients were: kept for root alone, and read with care."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel import known_endpoints
from fs_wire.types import KEY_LEN, Endpoint, PublicKey

ALICE, BOB = PublicKey(b"\1" * KEY_LEN), PublicKey(b"\2" * KEY_LEN)
FOUND = {ALICE: Endpoint("192.0.2.1", 7), BOB: Endpoint("fe80::1", 8, 2)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FS_TUNNEL_RUN_DIR", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_found_and_forgotten(folder: Path) -> None:
    known_endpoints.save("wg0", FOUND)
    assert known_endpoints.load("wg0") == FOUND
    assert known_endpoints.path("wg0").stat().st_mode & 0o777 == 0o600
    known_endpoints.save("wg0", {})
    assert list(folder.iterdir()) == []
    known_endpoints.save("wg0", FOUND)
    known_endpoints.forget("wg0")
    assert known_endpoints.load("wg0") == {}
    assert list(folder.iterdir()) == []


def test_a_file_that_others_could_have_written_is_not_believed(folder: Path) -> None:
    known_endpoints.save("wg0", FOUND)
    known_endpoints.path("wg0").chmod(0o620)
    assert known_endpoints.load("wg0") == {}
    known_endpoints.path("wg0").chmod(0o600)
    known_endpoints.path("wg0").rename(folder / "elsewhere")
    known_endpoints.path("wg0").symlink_to(folder / "elsewhere")
    assert known_endpoints.load("wg0") == {}


@given(st.text())
def test_anything_is_passed_over(text: str) -> None:
    found = known_endpoints.parse(text)
    assert known_endpoints.parse(known_endpoints.render(found)) == found
    assert known_endpoints.parse(f"{text}\n{known_endpoints.render(FOUND)}") == found | FOUND
