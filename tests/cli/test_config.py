# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""config check names the line; config qr is what WireGuard's apps read, and leaks nothing."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import segno

from fs_tunnel import settings
from fs_tunnel.config import load, render
from fs_tunnel.proto.crypto import public_key
from fs_wire.errors import ConfigError, PrivilegeError
from fs_wire.types import KEY_LEN, PrivateKey, PublicKey
from tools.testing import patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(30.0)  # seconds
QUIET_ZONE, SCALE = 4, 8  # modules around a code; pixels to a module


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "config", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=DEADLINE,
    )


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    """A file as a provider hands it out."""
    key = PrivateKey(os.urandom(KEY_LEN))
    bob = PublicKey(public_key(os.urandom(KEY_LEN)))
    path = tmp_path / "alice.conf"
    path.touch(mode=0o600)
    path.write_text(
        f"[Interface]\nPrivateKey = {key.to_base64()}\nAddress = 10.66.0.2/32, fd66::2/128\n"
        f"DNS = 10.66.0.1\n[Peer]\nPublicKey = {bob.to_base64()}\n"
        "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.org:51820\n"
    )
    return path


def refused(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("fs-tunnel: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


class TestCheck:
    def test_a_file_that_is_fine(self, alice: Path) -> None:
        done = run("check", alice)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{alice}: well-formed, 1 peer\n"

    def test_a_path_may_be_relative(self, alice: Path) -> None:
        for name in ("alice.conf", "./alice.conf"):
            assert run("check", name, cwd=alice.parent).returncode == 0

    def test_the_line_and_the_remedy_are_told(self, alice: Path) -> None:
        alice.write_text(alice.read_text().replace("DNS = 10.66.0.1", "MTU = 99999"))
        said = refused(run("check", alice))
        assert f"{alice}:4: MTU: " in said
        assert "between 576 and 65535" in said

    def test_no_part_of_a_broken_key_is_told(self, alice: Path) -> None:
        key = load(alice).interface.private_key.to_base64()
        alice.write_text(alice.read_text().replace(key, key[:-3]))
        said = refused(run("check", alice))
        assert f"{alice}:2: PrivateKey: " in said
        assert key[:8] not in said

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert "check the path" in refused(run("check", tmp_path / "bob.conf"))

    def test_a_file_that_others_read_is_warned_of(self, alice: Path) -> None:
        alice.chmod(0o644)
        done = run("check", alice)
        assert done.returncode == 0
        assert done.stderr == (
            f"fs-tunnel: warning: {alice} can be read by other users; chmod 600 {alice}\n"
        )

    def test_what_up_will_not_do_is_told(self, alice: Path) -> None:
        more = "[Interface]\nPostUp = true\nPreDown = true\nSaveConfig = true"
        alice.write_text(alice.read_text().replace("[Interface]", more))
        said = run("check", alice).stdout
        assert "2 hooks (up refuses them without --allow-hooks)" in said
        assert "SaveConfig is not supported" in said

    def test_a_bare_name_is_looked_for_in_the_usual_directories(
        self, alice: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "CONFIG_DIRECTORIES", (alice.parent / "no", alice.parent))
        assert settings.read("alice") == load(alice)
        with pytest.raises(ConfigError, match=r"name it by its path, \./bob\.conf"):
            settings.read("bob")

    def test_a_directory_for_root_alone_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: Path) -> bool:
            raise PermissionError

        monkeypatch.setattr(settings, "CONFIG_DIRECTORIES", (tmp_path,))
        monkeypatch.setattr(Path, "exists", refuse)
        with pytest.raises(PrivilegeError, match=f"{tmp_path} may not be searched; run as root"):
            settings.read("alice")


class TestQr:
    def test_the_terminal_shows_the_code_of_the_file(self, alice: Path) -> None:
        done = run("qr", alice)
        assert (done.returncode, done.stderr) == (0, "")
        assert from_terminal(done.stdout) == code_of(alice)

    def test_a_picture_shows_the_same_and_only_its_owner_reads_it(
        self, alice: Path, tmp_path: Path
    ) -> None:
        picture = tmp_path / "alice.png"
        previous = os.umask(0)
        try:
            done = run("qr", "--png", picture, alice)
        finally:
            os.umask(previous)
        assert done.returncode == 0
        warning = "holds the private key; delete it once your phone has read it"
        assert done.stdout == f"{picture} {warning}\n"
        assert picture.stat().st_mode & 0o777 == 0o600
        assert from_png(picture.read_bytes()) == code_of(alice)

    def test_a_file_of_others_gives_way_with_its_permissions(
        self, alice: Path, tmp_path: Path
    ) -> None:
        victim, picture = tmp_path / "victim", tmp_path / "alice.png"
        victim.write_text("untouched")
        picture.symlink_to(victim)
        assert run("qr", "--png", picture, alice).returncode == 0
        assert victim.read_text() == "untouched"
        assert not picture.is_symlink()
        picture.chmod(0o666)
        assert run("qr", "--png", picture, alice).returncode == 0
        assert picture.stat().st_mode & 0o777 == 0o600

    def test_what_is_no_file_is_never_replaced(self, alice: Path, tmp_path: Path) -> None:
        pipe, link = tmp_path / "pipe", tmp_path / "link"
        os.mkfifo(pipe)
        link.symlink_to(pipe)
        for path in (pipe, link):
            assert "is no file" in refused(run("qr", "--png", path, alice))
        assert pipe.is_fifo()
        assert link.is_symlink()
        assert "is a directory" in refused(run("qr", "--png", tmp_path, alice))

    def test_a_picture_that_cannot_be_written_leaves_nothing(
        self, alice: Path, tmp_path: Path
    ) -> None:
        before = set(tmp_path.iterdir())
        said = refused(run("qr", "--png", tmp_path / "no" / "alice.png", alice), code=1)
        assert "No such file or directory; name another file" in said
        assert set(tmp_path.iterdir()) == before

    def test_a_file_too_large_for_a_code(self, alice: Path) -> None:
        peers = (
            f"[Peer]\nPublicKey = {PublicKey(os.urandom(KEY_LEN)).to_base64()}\n" for _ in range(60)
        )
        alice.write_text(alice.read_text() + "".join(peers))
        assert "leave out peers" in refused(run("qr", alice))

    def test_a_file_that_is_wrong_has_no_code(self, alice: Path, tmp_path: Path) -> None:
        alice.write_text("[Interface]\n")
        picture = tmp_path / "alice.png"
        assert "has no PrivateKey" in refused(run("qr", "--png", picture, alice))
        assert not picture.exists()


Rows = list[list[bool]]  # True for dark


def code_of(path: Path) -> Rows:
    """The modules that say what the file says, with the quiet zone around them."""
    code = segno.make(render(load(path)), micro=False, error="l", boost_error=False)
    return [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]


def from_terminal(text: str) -> Rows:
    """A line of half blocks is two rows; what is drawn is light."""
    rows: Rows = []
    for line in text.splitlines():
        rows.append([cell not in "█▀" for cell in line])
        rows.append([cell not in "█▄" for cell in line])
    width = len(rows[0])
    return rows[:width]  # an odd number of rows fills a line in half


def from_png(content: bytes) -> Rows:
    """One pixel of each module of a black and white picture."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack_from(">IIBB", content, 16)
    assert (depth, kind) == (1, 0)  # greyscale, a bit to a pixel
    packed, offset = b"", 8
    while offset < len(content):
        length, name = struct.unpack_from(">I4s", content, offset)
        packed += content[offset + 8 : offset + 8 + length] if name == b"IDAT" else b""
        offset += length + 12
    lines, stride = zlib.decompress(packed), (width + 7) // 8 + 1
    rows = [lines[y * stride : (y + 1) * stride] for y in range(0, height, SCALE)]
    assert {row[0] for row in rows} == {0}  # unfiltered
    return [
        [not row[1 + x // 8] >> (7 - x % 8) & 1 for x in range(0, width, SCALE)] for row in rows
    ]
