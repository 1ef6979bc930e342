# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Building the C code with sanitizers: as the extension, or as a fuzz target.

``python -m tests.fuzz.native.build SECONDS`` fuzzes every target for so long; it needs clang and
its runtime (Debian: clang, libclang-rt-14-dev).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent.parent
NATIVE = REPOSITORY / "fs_tunnel" / "dataplane" / "native"
BUILD = REPOSITORY / "build" / "sanitized"
TARGETS = ("frame", "inner", "datagrams")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
RACES = ("-fsanitize=thread", "-g")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Wshadow", "-Werror")
LIBRARIES = {"ipsec-mb": ("aead_ipsec_mb.c", "IPSec_MB"), "libcrypto": ("aead_openssl.c", "crypto")}


def corpus(target: str) -> list[Path]:
    return sorted((HERE / "corpus" / target).iterdir())


def build_extension(aead: str, sanitizers: tuple[str, ...] = SANITIZERS) -> Path:
    """The extension with sanitizers, which the tests of the packet path run against."""
    kind = "races" if sanitizers is RACES else "memory"
    folder = BUILD / f"extension-{kind}-{aead}-{_digest()}"
    with _alone(folder):
        if not folder.exists():
            command = [sys.executable, "setup.py", "-q", "build_ext"]
            places = ["--build-lib", str(folder) + ".new", "--build-temp", str(folder) + ".temp"]
            environment = {
                "FS_TUNNEL_NATIVE": "required",
                "FS_TUNNEL_AEAD": aead,
                "FS_TUNNEL_SANITIZE": " ".join([*sanitizers, *WARNINGS]),
            }
            _run([*command, *places], environment)
            Path(str(folder) + ".new").rename(folder)
    (file,) = folder.rglob("_native*.so")
    return file


def build_target(target: str, *, fuzzer: bool = False) -> Path:
    """A fuzz target: a libFuzzer with clang, or a program that replays files."""
    program = BUILD / f"{target}-{'fuzzer' if fuzzer else 'replay'}-{_digest()}"
    with _alone(program):
        if not program.exists():
            aead = "ipsec-mb" if Path("/usr/include/intel-ipsec-mb.h").exists() else "libcrypto"
            source, library = LIBRARIES[aead]
            others = {"aead_ipsec_mb.c", "aead_openssl.c", "pump.c", "udp_send.c"} - {source}
            core = [
                each
                for each in sorted(NATIVE.glob("*.c"))
                if each.name not in others and not each.name.startswith("module")
            ]
            main = [] if fuzzer else [HERE / "replay.c"]
            compiler = ["clang", "-fsanitize=fuzzer"] if fuzzer else ["gcc"]
            _run(
                [
                    *compiler,
                    *SANITIZERS,
                    *WARNINGS,
                    *("-O1", "-std=gnu11", "-D_GNU_SOURCE", f"-I{NATIVE}"),
                    *map(str, [HERE / f"{target}.c", HERE / "tunnel.c", *main, *core]),
                    *(f"-l{library}", "-lpthread", "-o", f"{program}.new"),
                ]
            )
            Path(f"{program}.new").rename(program)
    return program


@contextlib.contextmanager
def _alone(built: Path) -> Iterator[None]:
    """Wait for another process that builds the same, so that tests side by side build it once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with Path(f"{built}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest() -> str:
    """Return a digest of all sources, so that the same sources are built once."""
    digest = hashlib.sha256()
    for each in sorted([*NATIVE.iterdir(), *HERE.glob("*.[ch]"), Path(__file__)]):
        digest.update(each.read_bytes())
    digest.update((REPOSITORY / "setup.py").read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed:\n{done.stdout}")


def main() -> int:
    """Fuzz; the status is that of the first target that failed, 1 without clang."""
    if shutil.which("clang") is None:
        print("the C code was not fuzzed: apt-get install clang libclang-rt-14-dev")
        return 1
    for target in TARGETS:
        print(f"== native {target}", flush=True)
        found = BUILD / f"{target}-found"
        found.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [
                *(build_target(target, fuzzer=True), found, HERE / "corpus" / target),
                *(f"-max_total_time={int(sys.argv[1])}", "-max_len=9000", "-verbosity=0"),
                *("-print_final_stats=1", f"-artifact_prefix={BUILD}/{target}-"),
            ],
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
