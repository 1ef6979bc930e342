# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What ships is what was compiled: written once, and missed when it differs."""

import json
from pathlib import Path

import pytest

from tools import gen_artefacts

ERROR = {"type": "error", "name": "TooEarly", "inputs": [{"name": "at", "type": "uint256"}]}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that ships, beside compiled contracts of one error each."""
    for name in gen_artefacts.CONTRACTS:
        compiled = tmp_path / "out" / f"{name}.sol" / f"{name}.json"
        compiled.parent.mkdir(parents=True)
        compiled.write_text(json.dumps({"abi": [ERROR], "bytecode": {"object": "0x60"}}))
    package = tmp_path / "artefacts"
    package.mkdir()
    monkeypatch.setattr(gen_artefacts, "REPOSITORY", tmp_path)
    monkeypatch.setattr(gen_artefacts, "COMPILED", tmp_path / "out")
    monkeypatch.setattr(gen_artefacts, "ARTEFACTS", package)
    return package


def test_what_was_written_passes_the_check(package: Path) -> None:
    assert gen_artefacts.main([]) == 0
    assert gen_artefacts.main(["--check"]) == 0
    assert json.loads((package / "StakeBook.json").read_text())["bytecode"] == "0x60"
    assert list(json.loads((package / "errors.json").read_text()).values()) == ["TooEarly(uint256)"]


def test_another_bytecode_or_a_missing_file_does_not(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gen_artefacts.main([])
    altered = package / "Channels.json"
    altered.write_text(altered.read_text().replace("0x60", "0x61"))
    (package / "errors.json").unlink()
    assert gen_artefacts.main(["--check"]) == 1
    assert "Channels.json, errors.json" in capsys.readouterr().err
    assert "0x61" in altered.read_text()
