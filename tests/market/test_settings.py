# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""market.toml is read as it was meant, and mistakes are named."""

from pathlib import Path

import pytest

from fs_market.chain.fees import GWEI, FeePolicy
from fs_market.settings import DEFAULT_CONFIRMATIONS, MarketSettings, find, read, render
from fs_wire.errors import ConfigError

ADDRESS = "0x" + "ab" * 20
LEAST = f"""
[chain]
rpc = "https://rpc.example/secret"
id = 100
[contracts]
token = "{ADDRESS}"
channels = "{ADDRESS}"
"""


def parsed(text: str, tmp_path: Path, rpc: str | None = None) -> MarketSettings:
    path = tmp_path / "market.toml"
    path.write_text(text)
    return read(path, rpc)


def test_the_least(tmp_path: Path) -> None:
    found = parsed(LEAST, tmp_path)
    assert (found.chain_id, found.confirmations) == (100, DEFAULT_CONFIRMATIONS)
    assert found.fees == FeePolicy()
    assert found.stakes is found.registry is None
    assert "secret" not in repr(found)
    assert parsed(LEAST, tmp_path, "http://other").rpc == "http://other"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    full = LEAST.replace("[contracts]", "confirmations = 3\nmax_fee_gwei = 7\n[contracts]")
    found = parsed(full + f'stakes = "{ADDRESS}"\nregistry = "{ADDRESS}"\n', tmp_path)
    assert found.fees.cap == 7 * GWEI
    assert parsed(render(found), tmp_path) == found


@pytest.mark.parametrize(
    ("old", "bad", "said"),
    [
        ("id = 100", "", "chain.id: write a number"),
        ("id = 100", "id = true", "chain.id: write a number"),
        ("id = 100", "id = 0", "chain.id: write a number"),
        ("id = 100", "id = 1\nconfirmations = 0", "chain.confirmations: write a number"),
        ("id = 100", "id = 1\ncolour = 1", "chain.colour: unknown key; use"),
        ('rpc = "https://rpc.example/secret"', "", "chain.rpc: missing"),
        ("[contracts]", "[contract]", "contract: unknown section; use chain, contracts"),
        (f'token = "{ADDRESS}"', "", "contracts: token and channels are missing"),
        (f'token = "{ADDRESS}"', "token = 5", "contracts.token: '' is not an address"),
        (f'token = "{ADDRESS}"', 'token = "0xAB"', "contracts.token: '0xAB' is not an address"),
        ("id = 100", "id = ", "the file is not TOML"),
    ],
)
def test_mistakes_are_named(old: str, bad: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        parsed(LEAST.replace(old, bad), tmp_path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "market.toml"))
    assert "secret" not in str(refused.value)


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(Path, "is_file", lambda self: self.exists() and tmp_path in self.parents)
    with pytest.raises(ConfigError, match="or name yours with --settings"):
        find(None)
    path = tmp_path / ".config" / "flowshield" / "market.toml"
    path.parent.mkdir(parents=True)
    path.write_text(LEAST)
    assert find(None) == path
    assert find(Path("other")) == Path("other")
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none")
