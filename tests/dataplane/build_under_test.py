# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Load another build of the extension in place of the one in the tree.

``FS_TEST_NATIVE`` names its file. This module must be imported before the native path.
"""

import importlib.util
import os
import sys

import fs_tunnel.dataplane

_NAME = "fs_tunnel.dataplane._native"


def _load(file: str) -> None:
    spec = importlib.util.spec_from_file_location(_NAME, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_NAME] = module
    fs_tunnel.dataplane._native = module  # type: ignore[attr-defined]


if _file := os.environ.get("FS_TEST_NATIVE"):
    _load(_file)
