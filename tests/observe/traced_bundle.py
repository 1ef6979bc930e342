# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel debug bundle``, which prints to standard error the files and sockets it opens."""

import sys

from fs_tunnel.cli.debug import bundle


def tell(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        print(arguments[0], file=sys.stderr)
    elif event == "socket.connect":
        print(arguments[1], file=sys.stderr)


if __name__ == "__main__":
    sys.addaudithook(tell)
    bundle()
