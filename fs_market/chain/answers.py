# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Parses the answers of a chain node strictly, because a chain node may be wrong, or lie.

A quantity is hexadecimal without leading zeroes; data is hexadecimal of whole bytes.  Every parser
raises MalformedAnswer.  Source: the Ethereum JSON-RPC specification (execution-apis).
"""

import ast
import re
from dataclasses import dataclass
from typing import Any

from fs_market.core.wire.ethereum import ADDRESS_LEN, HASH_LEN, Address
from fs_market.errors import MalformedAnswer

MAX_DATA = 1 << 20  # bytes in one field
MAX_DEPTH = 32  # levels of nested lists and objects
MAX_LOGS = 10_000  # logs in one answer
_QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]{0,63})", re.IGNORECASE | re.ASCII)
_DATA = re.compile(r"0x([0-9a-f]{2})*", re.IGNORECASE | re.ASCII)
# The quantifiers are possessive, and a string without an end reaches to the end of the text.  So
# the expression never goes back, whatever a hostile chain node sends.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BYTES_IN_MESSAGE = re.compile(r"""b(['"]).*\1""", re.DOTALL)
_MAX_SEARCHED = 4096  # characters of a message
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_TOPICS = 4


@dataclass(frozen=True, slots=True)
class Block:
    """The head of a block; ``timestamp`` is in seconds, ``base_fee`` in wei per gas."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee: int


@dataclass(frozen=True, slots=True)
class Log:
    """A log of a contract; ``index`` is its place in the block."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of a mined transaction; ``gas_price`` is in wei per gas."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    has_succeeded: bool
    gas_used: int
    gas_price: int
    contract: Address | None
    logs: tuple[Log, ...]


def check_depth_untrusted(body: bytes | bytearray) -> None:
    """Raise MalformedAnswer if JSON has more than MAX_DEPTH levels; call this before parsing.

    Libraries of eth-keyfile and web3 raise the interpreter's recursion limit.  With that limit,
    the parser would overflow the stack before it stops.
    """
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise _malformed("JSON of bounded depth")


def data_in_message_untrusted(message: str) -> bytes | None:
    """Return the data of a revert, which eth-tester writes into its message.

    Return None if there is no such data.
    """
    found = _BYTES_IN_MESSAGE.search(message[:_MAX_SEARCHED])
    try:
        raw = ast.literal_eval(found[0]) if found else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return raw if isinstance(raw, bytes) else None


def quantity_untrusted(value: Any, bits: int = 256) -> int:
    """Return a number of at most ``bits`` bits."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _malformed("a number")
    number = int(value, 16)
    if number.bit_length() > bits:
        raise _malformed(f"a number of {bits} bits")
    return number


def data_untrusted(value: Any, length: int | None = None) -> bytes:
    """Return ``length`` bytes, or at most MAX_DATA bytes if no length is given."""
    if not isinstance(value, str) or len(value) > 2 + 2 * MAX_DATA or not _DATA.fullmatch(value):
        raise _malformed("bytes")
    raw = bytes.fromhex(value[2:])
    if length is not None and len(raw) != length:
        raise _malformed(f"{length} bytes")
    return raw


def address_untrusted(value: Any) -> Address:
    """Return an address."""
    return Address(data_untrusted(value, ADDRESS_LEN))


def block_untrusted(value: Any) -> Block:
    """Return the head of a mined block."""
    fields = _object(value, "a block")
    return Block(
        number=quantity_untrusted(fields.get("number"), 64),
        hash=data_untrusted(fields.get("hash"), HASH_LEN),
        parent_hash=data_untrusted(fields.get("parentHash"), HASH_LEN),
        timestamp=quantity_untrusted(fields.get("timestamp"), 64),
        base_fee=quantity_untrusted(fields.get("baseFeePerGas"), 128),
    )


def log_untrusted(value: Any) -> Log:
    """Return a log of a mined block."""
    fields = _object(value, "a log")
    topics = _list(fields.get("topics"), _MAX_TOPICS, "topics")
    if fields.get("removed", False) is not False:
        raise _malformed("a log that stands")
    return Log(
        address=address_untrusted(fields.get("address")),
        topics=tuple(data_untrusted(topic, HASH_LEN) for topic in topics),
        data=data_untrusted(fields.get("data")),
        block_number=quantity_untrusted(fields.get("blockNumber"), 64),
        block_hash=data_untrusted(fields.get("blockHash"), HASH_LEN),
        transaction_hash=data_untrusted(fields.get("transactionHash"), HASH_LEN),
        index=quantity_untrusted(fields.get("logIndex"), 32),
    )


def logs_untrusted(value: Any) -> tuple[Log, ...]:
    """Return at most MAX_LOGS logs, in the order of the answer."""
    return tuple(log_untrusted(each) for each in _list(value, MAX_LOGS, "logs"))


def receipt_untrusted(value: Any) -> Receipt:
    """Return the receipt of a mined transaction."""
    fields = _object(value, "a receipt")
    status = quantity_untrusted(fields.get("status"), 1)
    contract = fields.get("contractAddress")
    return Receipt(
        transaction_hash=data_untrusted(fields.get("transactionHash"), HASH_LEN),
        block_number=quantity_untrusted(fields.get("blockNumber"), 64),
        block_hash=data_untrusted(fields.get("blockHash"), HASH_LEN),
        has_succeeded=status == 1,
        gas_used=quantity_untrusted(fields.get("gasUsed"), 64),
        gas_price=quantity_untrusted(fields.get("effectiveGasPrice"), 128),
        contract=None if contract is None else address_untrusted(contract),
        logs=logs_untrusted(fields.get("logs")),
    )


def tips_untrusted(value: Any) -> list[int]:
    """Return the tips that ``eth_feeHistory`` has for one percentile, in wei per gas."""
    rewards = _object(value, "a history of fees").get("reward") or []
    tips: list[int] = []
    for reward in _list(rewards, 1024, "rewards"):
        tips.extend(quantity_untrusted(each, 128) for each in _list(reward, 1, "a reward"))
    return tips


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(what)
    return value


def _list(value: Any, limit: int, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > limit:
        raise _malformed(f"at most {limit} {what}")
    return value


def _malformed(wanted: str) -> MalformedAnswer:
    # The message does not quote the answer, which may be anything.
    return MalformedAnswer(f"the chain node did not answer {wanted}; use another chain node")
