# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What all tests share: the ``netns`` marker and its conditions."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.netns.served import Served, served, settle
from tests.walks import examples

# Each command, and the apt package that has it.
NETNS_TOOLS = {
    "ip": "iproute2",
    "iperf3": "iperf3",
    "ncat": "ncat",
    "nft": "nftables",
    "ping": "iputils-ping",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
    "wg": "wireguard-tools",
    "wg-quick": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}


# No test is to depend on how fast a machine is. Slow strategies are told by the list of durations.
hypothesis.settings.register_profile(
    "flowshield",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("flowshield")

# Tests of the market and of the roles alike use chains.
pytest_plugins = ["tools.testing.plugin", "tests.no_skips", "tests.market.chains"]

RECURSION_LIMIT = sys.getrecursionlimit()


def pytest_configure() -> None:
    """Let tests hear the signals that we were started to ignore, by nohup or a shell's &."""
    # A handler, unlike SIG_IGN, does not pass to a new program.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip netns tests that cannot run here, but fail them if a root user forgot a package."""
    # A test may import a library of the development chain that raises it; parsers rely on it.
    sys.setrecursionlimit(RECURSION_LIMIT)
    if item.get_closest_marker("netns") is None:
        return
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root; run the tests as root")
    if not Path("/dev/net/tun").exists():
        pytest.skip("/dev/net/tun is missing; run: modprobe tun")
    missing = sorted({pkg for tool, pkg in NETNS_TOOLS.items() if shutil.which(tool) is None})
    if missing:
        pytest.fail(f"tools are missing; run: apt-get install {' '.join(missing)}", pytrace=False)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    """A provider with clients and a web server in namespaces; nothing in it changes by itself."""
    with served(tmp_path) as made:
        settle(made.client.namespace, made.other.namespace, made.provider, made.web)
        yield made
