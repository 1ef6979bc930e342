# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run fs-wg with the build of the extension that ``build_under_test`` loads.

``FS_TEST_PRELOAD`` is preloaded into this process alone, because its parents would not bear it.
"""

import os
import sys

if _library := os.environ.pop("FS_TEST_PRELOAD", None):
    os.environ["LD_PRELOAD"] = _library
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line

import tests.dataplane.build_under_test  # noqa: F401
from fs_tunnel.cli.fs_wg import main

if __name__ == "__main__":
    main()
