# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node's API over providers of the tests; 2,000 heartbeats a second arrive."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator

from fs_net.fullnode.catalogue import Change, ChangeKind
from tests.net.http.fair import Fair, fair
from tests.net.http.stage import served

_TURN = 0.05  # s
_EACH_TURN = 100


class Busy(Fair):
    """A catalogue whose version rises as in a network of this size."""

    async def changes(self) -> AsyncIterator[Change]:
        everybody = itertools.cycle(list(self.candidates))
        while True:
            for provider in itertools.islice(everybody, _EACH_TURN):
                self.version += 1
                yield Change(self.version, ChangeKind.HEARTBEAT, provider)
            await asyncio.sleep(_TURN)


def main() -> None:
    """Print the address; end when the input ends."""
    built, _ = fair(int(sys.argv[1]))
    busy = Busy(built.now, built.version, built.candidates, built.first_seen)
    with served(busy) as url:
        print(url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
