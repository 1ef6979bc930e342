# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""genkey, genpsk, pubkey: wg is the judge, and keys travel by standard input and output alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fs_wire.types import KEY_LEN, PresharedKey, PrivateKey, PublicKey
from tools.testing import patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(30.0)  # seconds
Done = subprocess.CompletedProcess[bytes]


def run(*command: str | Path, stdin: bytes = b"", stdout: int = subprocess.PIPE) -> Done:
    return subprocess.run(
        command, input=stdin, stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=DEADLINE
    )


def run_in_shell(line: str, umask: str, folder: Path) -> Done:
    """What only a shell arranges: redirected and closed descriptors."""
    script = f"umask {umask}; program=$1; {line.replace('fs-tunnel', '$program')}"
    return subprocess.run(
        ["sh", "-c", script, "sh", PROGRAM],
        capture_output=True,
        check=False,
        cwd=folder,
        timeout=DEADLINE,
    )


def said(verb: str, stdin: bytes = b"") -> str:
    """The line that a verb prints when all is well."""
    done = run(PROGRAM, verb, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\n")
    return done.stdout.decode()[:-1]


def said_by_wg(verb: str, stdin: bytes = b"") -> str:
    if shutil.which("wg") is None:
        pytest.skip("wg is not installed; run: apt-get install wireguard-tools")
    done = run("wg", verb, stdin=stdin)
    assert done.returncode == 0
    return done.stdout.decode()[:-1]


def refused(done: Done) -> str:
    """The one line of an error; nothing of a key came out."""
    assert (done.returncode, done.stdout) == (2, b"")
    message = done.stderr.decode()
    assert message.startswith("fs-tunnel: error: ")
    assert message.count("\n") == 1
    return message


def test_a_private_key_is_clamped_and_fresh() -> None:
    keys = [PrivateKey.from_base64(said("genkey")) for _ in range(3)]
    assert len({key.raw for key in keys}) == 3
    for key in keys:  # RFC 7748, section 5
        assert key.raw[0] & 0b111 == 0
        assert key.raw[31] & 0b1100_0000 == 0b0100_0000


def test_a_preshared_key_is_fresh() -> None:
    assert len({PresharedKey.from_base64(said("genpsk")) for _ in range(3)}) == 3


def test_wg_derives_the_same_public_key() -> None:
    ours, theirs = said("genkey").encode(), said_by_wg("genkey").encode()
    unclamped = PrivateKey(os.urandom(KEY_LEN)).to_base64().encode()
    for private in (ours, theirs, unclamped):
        assert said("pubkey", private) == said_by_wg("pubkey", private)
        assert PublicKey.from_base64(said("pubkey", private + b"\n"))


@pytest.mark.parametrize("space", [b"\n", b"\r\n", b" \n\n", b""])
def test_space_around_a_key_is_no_part_of_it(space: bytes) -> None:
    private = said("genkey").encode()
    assert said("pubkey", space + private + space) == said("pubkey", private)


@pytest.mark.parametrize(
    "stdin",
    [b"", b"\n", b"short", b"\xff\xfe" * 40, b"A" * 44, b"\0" * 44, b"x" * 100_000],
    ids=["empty", "a line", "short", "no text", "no padding", "zeroes", "long"],
)
def test_what_is_no_key_is_refused_with_a_remedy(stdin: bytes) -> None:
    message = refused(run(PROGRAM, "pubkey", stdin=stdin))
    assert "copy it whole" in message or "pubkey < PRIVATE_KEY_FILE" in message


def test_two_keys_are_not_one() -> None:
    private = said("genkey")
    message = refused(run(PROGRAM, "pubkey", stdin=f"{private}\n{private}\n".encode()))
    assert private not in message


@pytest.mark.parametrize("verb", ["genkey", "genpsk", "pubkey"])
def test_no_key_is_taken_as_an_argument(verb: str) -> None:
    private = said("genkey").encode()
    assert "unexpected extra argument" in refused(run(PROGRAM, verb, "KEY", stdin=private))


@pytest.mark.parametrize("verb", ["genkey", "genpsk"])
@pytest.mark.parametrize(
    ("umask", "is_warned"), [("022", True), ("026", True), ("072", True), ("077", False)]
)
def test_a_file_that_others_read_is_warned_of(
    verb: str, umask: str, is_warned: bool, tmp_path: Path
) -> None:
    done = run_in_shell(f"fs-tunnel {verb} > key", umask, tmp_path)
    assert done.returncode == 0
    assert len((tmp_path / "key").read_text().strip()) == 44
    warning = "fs-tunnel: warning: others can read the file of this key; use umask 077\n"
    assert done.stderr.decode() == (warning if is_warned else "")


def test_a_public_key_may_be_read_by_anybody(tmp_path: Path) -> None:
    done = run_in_shell("fs-tunnel genkey | fs-tunnel pubkey > key", "022", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_descriptors_are_told(tmp_path: Path) -> None:
    assert "no key on standard input" in refused(
        run_in_shell("fs-tunnel pubkey <&-", "077", tmp_path)
    )
    assert "output is closed" in refused(run_in_shell("fs-tunnel genkey >&-", "077", tmp_path))


def test_a_full_disk_is_a_failure_that_says_so(tmp_path: Path) -> None:
    done = run_in_shell("fs-tunnel genkey > /dev/full", "077", tmp_path)
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
