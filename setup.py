# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Builds the native packet path; everything else about the package is in setup.cfg.

It is optional: without a compiler or a library for it, the Python path serves.
"""

import os
import platform
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("fs_tunnel/dataplane/native")
AEADS = {"ipsec-mb": ("aead_ipsec_mb.c", "IPSec_MB"), "libcrypto": ("aead_openssl.c", "crypto")}


def choose_aead() -> str:
    """FS_TUNNEL_AEAD, or else the fastest library whose header is there."""
    wanted = os.environ.get("FS_TUNNEL_AEAD")
    if wanted is not None:
        return wanted
    has_ipsec_mb = platform.machine() == "x86_64" and Path("/usr/include/intel-ipsec-mb.h").exists()
    return "ipsec-mb" if has_ipsec_mb else "libcrypto"


source, library = AEADS[choose_aead()]
others = {name for name, _ in AEADS.values()} - {source}
sanitize = os.environ.get("FS_TUNNEL_SANITIZE", "").split()
warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion"]

setup(
    ext_modules=[
        Extension(
            "fs_tunnel.dataplane._native",
            sources=[str(each) for each in sorted(NATIVE.glob("*.c")) if each.name not in others],
            depends=[str(each) for each in sorted(NATIVE.glob("*.h"))],
            define_macros=[("_GNU_SOURCE", None)],
            extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", *warnings, *sanitize],
            extra_link_args=sanitize,
            libraries=[library],
            optional=os.environ.get("FS_TUNNEL_NATIVE") != "required",
        )
    ]
)
