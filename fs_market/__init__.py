"""The bandwidth market: prices, vouchers and channels, on any EVM chain."""

import sys

# Libraries around web3 raise it to 100,000 when they are imported, and what is nested that deep
# overflows the stack of a parser before the limit ends it. Whoever imports them puts it back.
RECURSION_LIMIT = sys.getrecursionlimit()
