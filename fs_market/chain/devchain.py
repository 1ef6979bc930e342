# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A chain for development in pure Python: eth-tester behind JSON-RPC on loopback.

The chain mines each transaction at once.  It keeps everything in memory, and loses it at the end.
"""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fs_market import recursion_limit_kept
from fs_market.chain.answers import check_depth_untrusted, data_in_message_untrusted
from fs_market.core.wire.ethereum import Address
from fs_market.errors import ChainError, MalformedAnswer
from fs_wire.errors import UsageError

CHAIN_ID = 131277322940537  # eth-tester's
MAX_REQUEST = 1 << 20  # bytes
_IDLE = 30.0  # seconds until a connection without a request is closed
_REVERTED, _REFUSED, _UNKNOWN_METHOD, _INVALID = 3, -32000, -32601, -32600
# Wallets and this program need these methods of a chain node; all other methods are refused.
_METHODS = frozenset(
    ["net_version", "web3_clientVersion", "evm_mine", "testing_timeTravel"]
    + [
        "eth_" + name
        for name in (
            *("blockNumber", "call", "chainId", "estimateGas", "feeHistory", "gasPrice"),
            *("getBalance", "getBlockByHash", "getBlockByNumber", "getCode", "getLogs"),
            *("getStorageAt", "getTransactionByHash", "getTransactionCount"),
            *("getTransactionReceipt", "maxPriorityFeePerGas", "sendRawTransaction"),
        )
    ]
)


class DevChain:
    """The chain itself: it answers requests of JSON-RPC, one at a time."""

    def __init__(self) -> None:
        """Raise ChainError if eth-tester is not installed."""
        try:
            with recursion_limit_kept():
                from web3 import Web3  # noqa: PLC0415
            from eth_tester import EthereumTester, PyEVMBackend  # noqa: PLC0415
            from web3.providers.eth_tester import EthereumTesterProvider  # noqa: PLC0415
        except ImportError:
            raise ChainError(
                "the development chain needs eth-tester; "
                "install it with pip install 'flowshield[devchain]'"
            ) from None
        # Everybody knows the keys of eth-tester's accounts, so nobody should use them.
        self._tester = EthereumTester(PyEVMBackend())
        web3 = Web3(EthereumTesterProvider(self._tester))
        self._request = web3.provider.request_func(web3, web3.middleware_onion)
        self._lock = threading.Lock()

    def fund(self, account: Address, wei: int) -> None:
        """Give native coin to an account, in wei."""
        with self._lock:
            rich = self._tester.get_accounts()[0]
            self._tester.send_transaction(
                {"from": rich, "to": str(account), "value": wei, "gas": 21_000}
            )

    def answer_untrusted(self, body: bytes) -> bytes:
        """Answer a request of JSON-RPC 2.0, or a batch of requests."""
        try:
            check_depth_untrusted(body)
            request = json.loads(body)
        except (ValueError, MalformedAnswer):
            return _encode(_refusal(None, _INVALID, "no JSON"))
        if isinstance(request, list):
            return _encode([self._answer(each) for each in request[:1000]])
        return _encode(self._answer(request))

    def _answer(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("params", []), list):
            return _refusal(None, _INVALID, "no request")
        number, method = request.get("id"), request.get("method")
        if not isinstance(method, str) or method not in _METHODS:
            return _refusal(number, _UNKNOWN_METHOD, "no such method")
        try:
            with self._lock:
                params = request.get("params", [])
                if method == "eth_getLogs":
                    params = [self._with_numbers(*params)]
                answer = self._request(method, params)
        except Exception as error:  # noqa: BLE001 - whatever eth-tester raises is its answer
            return _failure(number, error)
        if "error" in answer:
            return _refusal(number, _REFUSED, str(answer["error"]))
        return {"jsonrpc": "2.0", "id": number, "result": _to_json(answer["result"])}

    def _with_numbers(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Turn a block hash (EIP-234) into a range of blocks; eth-tester knows only ranges."""
        if "blockHash" not in wanted:
            return wanted
        number = hex(self._tester.get_block_by_hash(wanted["blockHash"])["number"])
        rest = {key: value for key, value in wanted.items() if key != "blockHash"}
        return rest | {"fromBlock": number, "toBlock": number}


@contextmanager
def served(chain: DevChain, port: int = 0, address: str = "127.0.0.1") -> Iterator[str]:
    """Serve a chain at ``port`` of an IPv4 address, or at a free port if it is 0; yield its URL.

    Raise UsageError if the port cannot be opened.
    """
    try:
        server = _Server((address, port), _Handler)
    except OSError as error:
        raise UsageError(
            f"port {port} of {address} cannot be opened: {error.strerror}; "
            "name another with --port or --address"
        ) from None
    server.chain = chain
    thread = threading.Thread(target=server.serve_forever, name="chain dev", daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    chain: DevChain

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no error if a connection breaks, because that is no fault of the chain."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """JSON-RPC over HTTP/1.1 with connections that stay open."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    # Head and body leave as one segment at once.  Otherwise Nagle's algorithm and delayed ACKs
    # would cost 40 ms for each request.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_REQUEST:
            self.send_error(413)
            return
        # A page in a browser must not reach the chain.
        if self.headers.get("Origin") is not None:
            self.send_error(403)
            return
        answer = self.server.chain.answer_untrusted(self.rfile.read(int(length)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log no requests."""


def _failure(number: Any, error: Exception) -> dict[str, Any]:
    """Return an error; a revert has its data in the form of geth."""
    message = str(error)
    refusal = _refusal(number, _REFUSED, message or type(error).__name__)
    if "revert" in message:
        raw = data_in_message_untrusted(message) or b""
        refusal["error"] |= {"code": _REVERTED, "message": "execution reverted"}
        refusal["error"]["data"] = "0x" + raw.hex()
    return refusal


def _refusal(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _to_json(value: Any) -> Any:
    """Turn numbers and bytes into the hexadecimal of JSON-RPC."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value or None if value == "" else value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {key: _to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(each) for each in value]
    return str(value)


def _encode(answer: Any) -> bytes:
    return json.dumps(answer).encode()
