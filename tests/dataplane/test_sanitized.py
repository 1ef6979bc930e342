# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The C code runs again, under AddressSanitizer and UndefinedBehaviorSanitizer, with each library.

Another process runs the tests of the packet path with a second build of the extension. The fuzz
targets replay their corpora.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.native.build import (
    LIBRARIES,
    REPOSITORY,
    TARGETS,
    build_extension,
    build_target,
    corpus,
)
from tests.walks import at_length

# This writes the 9th byte of a heap block of 8 bytes.
DEFECT = "import ctypes; c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p\n"
DEFECT += "c.memset(ctypes.c_void_p(c.malloc(8)), 1, ctypes.c_size_t(9))"


def sanitized(aead: str, *arguments: str, factor: str = "1") -> "subprocess.CompletedProcess[str]":
    """Run Python with a sanitized extension and the libraries of its sanitizers.

    Property tests get ``factor`` times their examples.
    """
    libraries = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "FS_TEST_EXAMPLES": factor,
            "FS_TEST_NATIVE": str(build_extension(aead)),
            "LD_PRELOAD": " ".join(libraries),
            # The interpreter itself never frees all of its memory.
            "ASAN_OPTIONS": "detect_leaks=0",
            # Python's own allocator would hide the end of an object.
            "PYTHONMALLOC": "malloc",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def library(aead: str) -> str:
    if aead == "ipsec-mb" and not Path("/usr/include/intel-ipsec-mb.h").exists():
        pytest.skip("libipsec-mb is not there; Debian has it on amd64")
    return aead


@pytest.mark.parametrize("factor", ["0.1", *at_length("1")], ids=["some", "all"])
@pytest.mark.parametrize("aead", ["ipsec-mb", *at_length("libcrypto")])
def test_the_tests_of_the_packet_path_pass_under_sanitizers(aead: str, factor: str) -> None:
    # The tests of races have a sanitizer of their own.
    others = (Path(__file__), Path(__file__).with_name("test_races.py"))
    tests = ["tests/dataplane", *(f"--ignore={each}" for each in others)]
    # This test has a room already, and one process is slow enough. The sanitizers stop a process
    # that loads the hash library of the chains.
    without = ("no:cacheprovider", "no:tools.testing.plugin", "no:tests.market.chains")
    plain = ("-q", *(word for each in without for word in ("-p", each)))
    done = sanitized(library(aead), "-m", "pytest", *plain, *tests, factor=factor)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("aead", LIBRARIES)
def test_the_build_under_test_is_the_sanitized_one(aead: str) -> None:
    show = (
        "import tests.dataplane.build_under_test; from fs_tunnel.dataplane import _native, native"
    )
    done = sanitized(library(aead), "-c", f"{show}; print(_native.__file__, native.AEAD)")
    assert done.stdout.split() == [str(build_extension(aead)), aead]


def test_the_sanitizer_sees_a_defect() -> None:
    done = sanitized("libcrypto", "-c", DEFECT)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_a_fuzz_target_replays_its_corpus(target: str) -> None:
    inputs = corpus(target)
    done = subprocess.run(
        [build_target(target), *inputs],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{len(inputs)} inputs\n")
