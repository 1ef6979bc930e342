# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""market stake, announce, rotate-heartbeat, retire and unstake, as a provider types them."""

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from fs_market.money.wallet import parse_secret
from tests.keystores import write_keystore
from tools.testing import commands, patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(60)  # seconds
DAY = 86_400
PASSWORD = "hunter2"  # noqa: S105 - of a chain that ends with the test
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Scene:
    """A chain, an owner's wallet, and a provider's settings."""

    told: dict[str, Any]
    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "market.toml"

    @property
    def provider(self) -> str:
        return str(self.told["accounts"]["provider"]["address"])

    @property
    def owner(self) -> str:
        return str(self.told["accounts"]["owner"]["address"])

    def run(self, *words: str) -> Done:
        return commands.fs_tunnel(*words, "--wallet", self.folder / "wallet.json")

    def open_wallet(self, account: str) -> None:
        """Have the wallet of one of the chain's accounts."""
        secret = Path(self.told["accounts"][account]["key_file"]).read_text().strip()
        write_keystore(self.folder / "wallet.json", parse_secret(secret), PASSWORD)

    def market(self, *words: str) -> Done:
        password = str(self.folder / "password")
        return self.run(
            "market", *words, "--settings", str(self.settings), "--password-file", password
        )

    def listed(self) -> list[dict[str, Any]]:
        done = self.run("market", "list", "--chain", "--settings", str(self.settings), "--json")
        return list(json.loads(done.stdout)["providers"])

    def tokens(self) -> int:
        done = self.run("wallet", "balance", "--settings", str(self.settings), "--json")
        return int(json.loads(done.stdout)["account"]["units"])

    def let_pass(self, seconds: int) -> None:
        """On the chain."""
        head = self._ask("eth_getBlockByNumber", "latest", False)
        self._ask("testing_timeTravel", int(head["timestamp"], 16) + seconds)
        self._ask("evm_mine", 1)

    def _ask(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        with urllib.request.urlopen(self.told["rpc"], body) as answer:  # noqa: S310
            said = json.load(answer)
        assert "error" not in said, said
        return said["result"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    command = [str(PROGRAM), "chain", "dev", "--json", "--directory", str(tmp_path / "chain")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as chain:
        try:
            assert chain.stdout is not None
            made = Scene(json.loads(chain.stdout.readline()), tmp_path)
            write(tmp_path / "password", PASSWORD)
            write(tmp_path / "node.key", os.urandom(32).hex())
            settle(made)
            made.open_wallet("owner")
            yield made
        finally:
            chain.send_signal(signal.SIGINT)
            chain.wait(DEADLINE)


def write(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text + "\n")


def settle(scene: Scene, *, clients: int = 150, price: str = "0.05 FST/GiB") -> None:
    """Write what is sold."""
    scene.settings.write_text(
        Path(scene.told["settings"]).read_text()
        + f'[provider]\nlisten = "192.0.2.1:4700"\nendpoint = "192.0.2.1:51820"\n'
        f'price = "{price}"\nclients = {clients}\ncountry = "DE"\n'
        f'key_file = "chain/provider.key"\nnode_key_file = "node.key"\n'
    )


def said(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    assert parsed["schema"] == 1
    return parsed


def refused(done: Done, code: int, remedy: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("fs-tunnel: error: ")
    assert remedy in done.stderr


def test_from_a_wallet_to_the_list_and_back(scene: Scene) -> None:
    before = scene.tokens()
    nothing = scene.market("stake")
    assert (
        nothing.stdout
        == f"provider: {scene.provider}\nstake: none; fs-tunnel market stake AMOUNT\n"
    )
    refused(scene.market("stake", "200", "FST"), 2, "add --yes")
    refused(scene.market("stake", "99", "FST", "--yes"), 2, "the least stake is 100 FST")
    refused(scene.market("announce", "--yes"), 1, "fs-tunnel market stake AMOUNT first")

    staked = said(scene.market("stake", "100", "FST", "--yes", "--json"))
    assert (staked["provider"], staked["owner"]) == (scene.provider, scene.owner)
    assert (staked["stake"]["text"], staked["slots"], staked["exits_at"]) == ("100 FST", 100, None)
    assert len(staked["transactions"]) == 3
    refused(scene.market("announce", "--yes"), 1, "market stake 50 FST, or write clients = 100")
    added = scene.market("stake", "50", "FST", "--yes")
    assert "stake: 150 FST of" in added.stdout
    assert "covers: 150 clients at a time, at 1 FST each" in added.stdout
    assert scene.tokens() == before - 150_000_000

    announced = said(scene.market("announce", "--yes", "--json"))
    assert len(announced["transactions"]) == 1
    (entry,) = scene.listed()
    assert (entry["provider"], entry["payout"]) == (scene.provider, scene.provider)
    assert entry["slots"] == 150
    assert bytes.fromhex(entry["node_key"]) == public(scene.folder / "record.key")
    again = scene.market("announce", "--yes")
    assert "nothing to do" in again.stdout
    settle(scene, price="0.06 FST/GiB")
    scene.market("announce", "--yes")
    (changed,) = scene.listed()
    assert changed["price_list"] != entry["price_list"]
    assert changed["node_key"] == entry["node_key"]

    assert "retired" in scene.market("retire", "--yes").stdout
    assert scene.listed() == []
    refused(scene.market("retire", "--yes"), 1, "is not announced")
    scene.market("announce", "--yes")

    asked = scene.market("unstake", "--yes")
    assert "requested; run the command again in 21 d" in asked.stdout
    assert scene.listed() == []
    assert "can leave in 2" in scene.market("unstake", "--yes").stdout
    assert "can leave in 2" in scene.market("stake").stdout
    refused(scene.market("stake", "5", "FST", "--yes"), 1, "unstake first")
    scene.let_pass(21 * DAY)
    assert "back in the account: 150 FST" in scene.market("unstake", "--yes").stdout
    assert scene.tokens() == before
    refused(scene.market("unstake", "--yes"), 1, "has no stake")


def test_keys_are_made_once_and_the_one_of_heartbeats_is_replaced(scene: Scene) -> None:
    scene.market("stake", "150", "FST", "--yes")
    refused(scene.market("rotate-heartbeat", "--yes"), 1, "announce first")
    scene.market("announce", "--yes")
    record, heartbeat = scene.folder / "record.key", scene.folder / "heartbeat.key"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (record, heartbeat)] == [0o600] * 2
    kept, replaced = record.read_text(), heartbeat.read_text()
    assert "serve again" in scene.market("rotate-heartbeat", "--yes").stdout
    assert record.read_text() == kept
    assert heartbeat.read_text() != replaced
    assert not (scene.folder / "heartbeat.key.next").exists()
    assert "nothing to do" in scene.market("announce", "--yes").stdout  # the chain has it
    # Cut short after the chain had the other key: the repetition only moves the file.
    write(scene.folder / "heartbeat.key.next", heartbeat.read_text().strip())
    heartbeat.write_text(replaced)
    done = said(scene.market("rotate-heartbeat", "--yes", "--json"))
    assert done["transactions"] == []
    assert "nothing to do" in scene.market("announce", "--yes").stdout


def test_another_wallet_has_no_say(scene: Scene) -> None:
    scene.market("stake", "150", "FST", "--yes")
    (scene.folder / "wallet.json").unlink()
    scene.open_wallet("client")
    for verb in ("announce", "retire", "unstake", "rotate-heartbeat"):
        refused(scene.market(verb, "--yes"), 1, f"belongs to {scene.owner}")
    refused(scene.market("stake", "5", "FST", "--yes"), 1, f"belongs to {scene.owner}")


def public(file: Path) -> bytes:
    return bytes(SigningKey(bytes.fromhex(file.read_text().strip())).verify_key)
