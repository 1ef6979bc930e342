# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""wallet and chain dev, as a user types them: money moves once, and no secret is told."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fs_market.money.wallet import parse_secret
from tests.keystores import write_keystore
from tools.testing import commands, patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(60)  # seconds
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Scene:
    """A chain as ``chain dev`` told of it, a directory, and a wallet with the client's key."""

    told: dict[str, Any]
    directory: Path

    @property
    def wallet(self) -> Path:
        return self.directory / "wallet.json"

    @property
    def password(self) -> str:
        return (self.directory / "password").read_text().strip()

    def run(self, *words: str, stdin: str = "", wallet: Path | None = None) -> Done:
        return commands.fs_tunnel("wallet", *words, "--wallet", wallet or self.wallet, stdin=stdin)

    def money(self, *words: str, **options: Any) -> Done:
        return self.run(
            *words,
            "--settings",
            self.told["settings"],
            "--password-file",
            str(self.directory / "password"),
            **options,
        )

    def balance(self) -> tuple[int, int]:
        done = self.run("balance", "--settings", self.told["settings"], "--json")
        said = json.loads(done.stdout)
        return int(said["account"]["units"]), int(said["channels"]["units"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("wallet")
    private(directory / "password", os.urandom(8).hex())
    command = [str(PROGRAM), "chain", "dev", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as chain:
        try:
            assert chain.stdout is not None
            told = json.loads(chain.stdout.readline())
            found = Scene(told, directory)
            secret = Path(told["accounts"]["client"]["key_file"]).read_text().strip()
            write_keystore(found.wallet, parse_secret(secret), found.password)
            yield found
        finally:
            chain.send_signal(signal.SIGINT)
            assert chain.wait(DEADLINE) == 0
    assert not Path(told["settings"]).exists()


def private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text + "\n")
    return path


def said(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    assert parsed["schema"] == 1
    return parsed


def refused(done: Done, code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("fs-tunnel: error: ")
    return done.stderr


def test_chain_dev_keeps_its_keys_private(scene: Scene) -> None:
    for account in scene.told["accounts"].values():
        path = Path(account["key_file"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() not in json.dumps(scene.told)
    assert scene.told["rpc"].startswith("http://127.0.0.1:")


def test_deposit_and_withdraw(scene: Scene) -> None:
    held, ready = scene.balance()
    deposit = said(scene.money("deposit", "5", "FST", "--yes", "--json"))
    assert deposit["amount"] == {"units": "5000000", "text": "5 FST"}
    assert len(deposit["transactions"]) == 2
    assert scene.balance() == (held - 5_000_000, ready + 5_000_000)
    withdrawal = said(scene.money("withdraw", "1.5", "FST", "--yes", "--json"))
    assert withdrawal["gas"] < 50_000
    assert scene.balance() == (held - 3_500_000, ready + 3_500_000)
    other = "0x" + "ab" * 20
    done = scene.money("withdraw", "0.5", "FST", "--to", other, "--yes")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "withdrawn: 0.5 FST")
    assert scene.balance() == (held - 3_500_000, ready + 3_000_000)


def test_without_consent_nothing_moves(scene: Scene) -> None:
    before = scene.balance()
    message = refused(scene.money("deposit", "5", "FST"), 2)
    assert "add --yes" in message
    code, output = on_terminal(scene, b"n\n")
    assert code == 130
    assert "Move 5 FST of 0x" in output
    assert scene.balance() == before


def test_consent_on_a_terminal_moves_it(scene: Scene) -> None:
    before = scene.balance()
    code, output = on_terminal(scene, b"y\n")
    assert code == 0, output
    assert scene.balance() == (before[0] - 5_000_000, before[1] + 5_000_000)


def on_terminal(scene: Scene, answer: bytes) -> tuple[int, str]:
    """Deposit 5 FST, with a terminal to be asked on."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            *(PROGRAM, "wallet", "deposit", "5", "FST", "--wallet", scene.wallet),
            *("--settings", scene.told["settings"]),
            *("--password-file", scene.directory / "password"),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    try:
        while b"[y/N]" not in output:
            output += os.read(ours, 1024)
        os.write(ours, answer)
        while True:
            output += os.read(ours, 1024)
    except OSError:
        pass  # the program has ended, and the terminal with it
    os.close(ours)
    return process.wait(DEADLINE), output.decode()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["deposit", "5", "XYZ", "--yes"], 2, "write 1.5 FST"),
        (["deposit", "0", "FST", "--yes"], 2, "name an amount above 0"),
        (["deposit", "0.0000001", "FST", "--yes"], 2, "6 decimals"),
        (["deposit", "-1", "FST", "--yes"], 2, "no such option"),
        (["deposit", "5", "--yes"], 2, "amount"),
        (["deposit", "9000000", "FST", "--yes"], 1, "send the account more"),
        (["withdraw", "900000", "FST", "--yes"], 1, "the deposit holds no more"),
        (["withdraw", "1", "FST", "--to", "0x12", "--yes"], 2, "copy 0x and 40"),
        (["deposit", "5", "FST", "--yes", "--rpc", "http://127.0.0.1:9"], 1, "cannot be reached"),
        (["deposit", "5", "FST", "--yes", "--rpc", "nonsense"], 2, "correct rpc, or --rpc"),
    ],
)
def test_what_cannot_be_is_refused(scene: Scene, words: list[str], code: int, message: str) -> None:
    assert message.lower() in refused(scene.money(*words), code).lower()


@pytest.mark.parametrize("contract", ["token", "channels"])
def test_tokens_are_not_withdrawn_to_where_nobody_can_spend_them(
    scene: Scene, contract: str
) -> None:
    address = tomllib.loads(Path(scene.told["settings"]).read_text())["contracts"][contract]
    done = scene.money("withdraw", "1", "FST", "--to", address, "--yes")
    assert "is a contract of the market" in refused(done, 2)


def test_create_show_and_no_second_one(scene: Scene, tmp_path: Path) -> None:
    path, password = tmp_path / "new" / "w.json", str(scene.directory / "password")
    made = said(scene.run("create", "--password-file", password, "--json", wallet=path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert said(scene.run("show", "--json", wallet=path)) == made
    again = scene.run("create", "--password-file", password, wallet=path)
    assert "never overwritten" in refused(again, 1)
    assert "wallet create" in refused(scene.run("show", wallet=tmp_path / "none"), 1)


def test_another_wallets_keystore_and_a_key_from_standard_input(
    scene: Scene, tmp_path: Path
) -> None:
    password = str(scene.directory / "password")
    taken = scene.run(
        "import",
        "--keystore",
        str(scene.wallet),
        "--password-file",
        password,
        "--json",
        wallet=tmp_path / "taken.json",
    )
    assert said(taken)["address"] == scene.told["accounts"]["client"]["address"]
    secret = os.urandom(32).hex()
    done = scene.run(
        "import",
        "--key-file",
        "-",
        "--password-file",
        password,
        stdin=secret,
        wallet=tmp_path / "piped.json",
    )
    assert done.returncode == 0
    assert secret not in done.stdout + done.stderr
    assert secret not in (tmp_path / "piped.json").read_text()


def test_secrets_come_from_private_files_alone(scene: Scene, tmp_path: Path) -> None:
    shared = private(tmp_path / "shared", "word")
    shared.chmod(0o644)
    done = scene.run("create", "--password-file", str(shared), wallet=tmp_path / "w")
    assert "run chmod 600" in refused(done, 2)
    empty = private(tmp_path / "empty", "")
    done = scene.run("create", "--password-file", str(empty), wallet=tmp_path / "w")
    assert "password is empty" in refused(done, 2)
    done = scene.run("create", wallet=tmp_path / "w")
    assert "use --password-file" in refused(done, 2)
    wrong = private(tmp_path / "wrong", os.urandom(8).hex())
    done = scene.run(
        "deposit",
        "1",
        "FST",
        "--yes",
        "--settings",
        scene.told["settings"],
        "--password-file",
        str(wrong),
    )
    assert "does not open" in refused(done, 1)
    assert wrong.read_text().strip() not in done.stderr
    done = scene.run("import", "--key-file", str(wrong), wallet=tmp_path / "w")
    assert wrong.read_text().strip() not in refused(done, 1)


def test_no_secret_is_an_argument_a_variable_or_told(scene: Scene) -> None:
    """All that a deposit shows of itself while it runs, with debugging on, and what it leaves."""
    key = Path(scene.told["accounts"]["client"]["key_file"]).read_text().strip()
    command = [
        *(str(PROGRAM), "wallet", "deposit", "1", "FST", "--yes", "--wallet", str(scene.wallet)),
        *("--settings", scene.told["settings"], "--password-file", "-"),
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "FS_TUNNEL_DEBUG": "1"},
    )
    seen: list[bytes] = []

    def look() -> None:
        while process.poll() is None:
            for name in ("cmdline", "environ"):
                try:
                    seen.append(Path(f"/proc/{process.pid}/{name}").read_bytes())
                except OSError:
                    return
            time.sleep(0.01)

    watcher = threading.Thread(target=look)
    watcher.start()
    output, _ = process.communicate(scene.password.encode(), timeout=DEADLINE)
    watcher.join()
    assert process.returncode == 0, output
    left = [path.read_bytes() for path in scene.directory.iterdir() if path.name != "password"]
    everything = output + b"".join(seen) + b"".join(left)
    assert len(seen) > 10
    for secret in (key.encode(), bytes.fromhex(key), scene.password.encode()):
        assert secret not in everything


def test_the_journal_is_private(scene: Scene) -> None:
    (journal,) = scene.directory.glob("*.journal")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_without_eth_tester_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "eth_tester.py").write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "fs_tunnel.cli.main", "chain", "dev"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert "pip install 'flowshield[devchain]'" in refused(done, 1)


def test_chain_dev_takes_a_directory_and_a_port(tmp_path: Path) -> None:
    place = tmp_path / "place"
    command = [str(PROGRAM), "chain", "dev", "--directory", str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as chain:
        assert chain.stdout is not None
        first = chain.stdout.readline()
        chain.send_signal(signal.SIGTERM)
        assert chain.wait(DEADLINE) == 0
    assert "until Ctrl-C" in first
    assert {each.name for each in place.iterdir()} >= {"client.key", "market.toml"}
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert "never overwritten" in refused(again, 1)
