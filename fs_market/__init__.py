# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The bandwidth market: prices, channels and vouchers, on any EVM chain.

The rooms: ``core`` does no IO.  ``database`` and ``journal`` are on the disk.  ``chain`` speaks to
a chain node, ``money`` moves money, and ``session`` has both sides' agents.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Keep the interpreter's recursion limit while libraries are imported.

    Libraries of eth-keyfile and web3 raise the limit to 100,000.  With that limit, a parser of
    deeply nested input would overflow the stack before it stops.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
