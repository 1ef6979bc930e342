"""The bandwidth market: prices, vouchers and channels, on any EVM chain."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Have what is imported here leave the interpreter's limit of recursion as it is.

    Libraries around web3 raise it to 100,000 when they are imported, and what is nested that deep
    overflows the stack of a parser before the limit ends it.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
