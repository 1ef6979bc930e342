# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The development chain's server: it does only what is needed, only on loopback, and quickly."""

import json
import socket
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.chain import devchain
from fs_market.chain.devchain import CHAIN_ID, MAX_REQUEST, DevChain, served
from fs_wire.errors import UsageError
from tests.market.chains import Dev
from tests.market.nodes import post, rpc
from tools.testing import patience


@pytest.fixture(scope="module")
def bare() -> DevChain:
    return DevChain()


def refused(url: str, body: bytes, **headers: str) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=patience.seconds(10))
    connection.request("POST", "/", body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_it_serves_its_chain(dev: Dev) -> None:
    assert int(rpc(dev.url, "eth_chainId"), 16) == CHAIN_ID
    answers = json.loads(
        post(dev.url, json.dumps([{"id": n, "method": "eth_blockNumber"} for n in (1, 2)]).encode())
    )
    assert [each["id"] for each in answers] == [1, 2]


@pytest.mark.parametrize(
    "method",
    ["eth_accounts", "eth_sendTransaction", "evm_revert", "admin_peers", "__class__", None, {}, []],
)
def test_other_methods_are_unknown(dev: Dev, method: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []})
    assert "error" in json.loads(post(dev.url, body.encode()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
METHODS = st.sampled_from(
    ["eth_getLogs", "eth_call", "eth_sendRawTransaction", "eth_getBlockByNumber", "eth_feeHistory"]
)


@given(
    st.binary(max_size=50)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda method, params: json.dumps({"id": 1, "method": method, "params": params}).encode(),
        METHODS,
        st.lists(JSON, max_size=3),
    )
)
def test_whatever_is_asked_is_answered_with_json(bare: DevChain, body: bytes) -> None:
    json.loads(bare.answer_untrusted(body))


def test_deep_json_does_not_overflow_the_stack(bare: DevChain) -> None:
    assert "error" in json.loads(bare.answer_untrusted(b"[" * 500_000))


def test_pages_and_large_requests_are_turned_away(dev: Dev) -> None:
    asked = b'{"id": 1, "method": "eth_chainId"}'
    assert refused(dev.url, asked, Origin="https://example.org") == 403
    assert refused(dev.url, b"", **{"Content-Length": str(MAX_REQUEST + 1)}) == 413
    assert refused(dev.url, b"", **{"Content-Length": "-1"}) == 413


def test_only_this_host_reaches_it(dev: Dev) -> None:
    port = urlsplit(dev.url).port
    assert port is not None
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port), 5):
        pass


@pytest.mark.parametrize(
    ("error", "is_told"), [(ConnectionResetError(), False), (ValueError("a defect"), True)]
)
def test_who_hangs_up_leaves_no_trace(
    bare: DevChain, error: Exception, is_told: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with devchain._Server(("127.0.0.1", 0), devchain._Handler) as server:
        server.chain = bare
        try:
            raise error
        except Exception:  # noqa: BLE001 - the server is called while it handles the error
            server.handle_error(None, ("127.0.0.1", 1))
    assert ("a defect" in capfd.readouterr().err) == is_told


def test_a_taken_port_is_told(bare: DevChain, dev: Dev) -> None:
    port = urlsplit(dev.url).port
    assert port is not None
    with pytest.raises(UsageError, match="name another with --port"), served(bare, port):
        pass


def test_an_answer_leaves_as_one_segment_at_once() -> None:
    """Otherwise Nagle's algorithm and delayed acknowledgements cost 40 ms for each request."""
    assert devchain._Handler.wbufsize == -1
    assert devchain._Handler.disable_nagle_algorithm
