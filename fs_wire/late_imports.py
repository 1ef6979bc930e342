# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Loads what libraries import only when they first use it, while the program can still be read.

A process that gives up root may find its own program in a folder that it cannot enter: a home of
mode 0700, say. So it loads everything before. The tests run each such process from closed folders,
and fail for whatever it imports afterwards.
"""

import pkgutil
from importlib import import_module

_OF_PYTHON = (
    "_strptime",  # datetime.strptime
    "concurrent.futures.thread",  # asyncio.to_thread
    "encodings.idna",  # asyncio, for every host
    "traceback",
    "unicodedata",  # urllib.parse
)


def load(*names: str) -> None:
    """Import what Python's own library imports late, and ``names``.

    A name that ends in ``.*`` stands for all modules of a package.
    """
    for name in (*_OF_PYTHON, *names):
        package = name.removesuffix(".*")
        module = import_module(package)
        if package != name:
            for each in pkgutil.iter_modules(module.__path__, f"{package}."):
                import_module(each.name)
