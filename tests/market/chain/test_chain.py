# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which answers of a chain node are accepted or refused, and contract errors by their names."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.chain import answers
from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.deploy import Deployed
from fs_market.chain.rpc import _failure
from fs_market.core.wire.channels import Terms, Voucher
from fs_market.core.wire.ethereum import Address
from fs_market.errors import (
    ChainError,
    MalformedAnswer,
    NodeRefused,
    NodeUnreachable,
    Reverted,
    WrongChain,
)
from fs_wire.errors import UsageError
from tests.market.chains import Dev
from tests.market.nodes import ANVIL_CHAIN_ID, Anvil, between
from tools.testing import patience

SOMEBODY = Address(b"\x07" * 20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("0x1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        *("number", "hash", "parentHash", "timestamp", "baseFeePerGas", "address", "topics"),
        *("data", "blockNumber", "blockHash", "transactionHash", "logIndex", "removed", "status"),
        *("reward", "contractAddress", "gasUsed", "effectiveGasPrice", "logs"),
    ]
)
VALUES = JSON | st.sampled_from(["0x", "0x0", "0x00", "0x" + "ab" * 20, "0x" + "ab" * 32, []])


@given(VALUES | st.dictionaries(FIELDS, VALUES))
def test_whatever_is_answered_is_parsed_or_refused(answer: Any) -> None:
    for parse in (
        *(answers.quantity_untrusted, answers.data_untrusted, answers.address_untrusted),
        *(answers.block_untrusted, answers.log_untrusted, answers.logs_untrusted),
        *(answers.receipt_untrusted, answers.tips_untrusted),
    ):
        with suppress(MalformedAnswer):
            parse(answer)


@given(JSON)
def test_the_depth_of_honest_answers_is_fine(value: Any) -> None:
    answers.check_depth_untrusted(json.dumps(value).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 33,
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'["]",' * 33,
        b"[" * 9 + b'"' + b"[" * 9,
    ],
)
def test_deep_answers_are_refused_before_they_are_parsed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        answers.check_depth_untrusted(body)


def test_an_unfinished_string_costs_one_look() -> None:
    answers.check_depth_untrusted(b'"' + b'\\"' * 1_000_000)


@given(JSON | st.dictionaries(st.sampled_from(["code", "message", "data"]), VALUES))
def test_whatever_an_error_is_it_becomes_one_of_ours(error: Any) -> None:
    try:
        failure = _failure("the node", error)
    except MalformedAnswer as refused:
        failure = refused
    assert isinstance(failure, ChainError)
    assert str(failure).isprintable()


@pytest.mark.parametrize(
    "text", ["", "1", "0x", "0x00", "0x01", "0xg", "0x-1", "0x1 ", "0x1\n", "0x" + "f" * 65]
)
def test_numbers_have_one_form(text: str) -> None:
    with pytest.raises(MalformedAnswer):
        answers.quantity_untrusted(text)


@pytest.mark.parametrize("text", ["", "0x0", "0xabc", "ab", "0xzz", "0xab\n"])
def test_bytes_have_one_form(text: str) -> None:
    with pytest.raises(MalformedAnswer):
        answers.data_untrusted(text)


def ask(url: str, what: Callable[[Chain], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with Chain(url, ANVIL_CHAIN_ID, confirmations=1, **options) as chain:
            return await what(chain)

    return asyncio.run(run())


def answering(method: str, answer: str) -> Callable[[str, int], str | None]:
    return lambda asked, _count: answer if asked == method else None


def result(value: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 0, "result": value})


def test_another_chain_is_refused(node: Anvil) -> None:
    async def run() -> None:
        async with Chain(node.url, 1, confirmations=1):
            pass

    with pytest.raises(WrongChain, match="serves chain 31337, not 1; name a chain node"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "what", "answer"),
    [
        ("eth_getBalance", lambda c: c.balance(SOMEBODY), result(7)),
        ("eth_getBalance", lambda c: c.balance(SOMEBODY), result("0x07")),
        ("eth_getBalance", lambda c: c.balance(SOMEBODY), "<html>"),
        ("eth_getBalance", lambda c: c.balance(SOMEBODY), "[]"),
        ("eth_getBalance", lambda c: c.balance(SOMEBODY), "{}"),
        ("eth_getBalance", lambda c: c.balance(SOMEBODY), "[" * 100_000),
        ("eth_getTransactionReceipt", lambda c: c.receipt(b"\1" * 32), result({})),
        ("eth_getTransactionReceipt", lambda c: c.receipt(b"\1" * 32), result([])),
        ("eth_sendRawTransaction", lambda c: c.send(b"\2"), result("0x" + "11" * 32)),
    ],
)
def test_nonsense_is_refused(
    node: Anvil, method: str, what: Callable[[Chain], Awaitable[Any]], answer: str
) -> None:
    with between(node.url) as liar:
        liar.fault = answering(method, answer)
        with pytest.raises(MalformedAnswer, match="use another chain node"):
            ask(liar.url, what)
        assert liar.asked[method] == 1


def test_a_foreign_receipt_block_or_log_is_refused(node: Anvil) -> None:
    node.mine()
    block = node.rpc("eth_getBlockByNumber", "0x1", False)
    log = {
        "address": str(SOMEBODY),
        "topics": ["0x" + "01" * 32],
        "data": "0x",
        "blockNumber": "0x1",
        "blockHash": block["hash"],
        "transactionHash": "0x" + "02" * 32,
        "logIndex": "0x0",
    }
    other = Address(b"\x08" * 20)

    async def second(chain: Chain) -> Any:
        return await chain.block(2)

    with between(node.url) as liar:
        liar.fault = lambda method, count: (
            result(block) if method == "eth_getBlockByNumber" and count > 1 else None
        )
        with pytest.raises(MalformedAnswer, match="foreign block"):
            ask(liar.url, second)
        liar.fault = answering("eth_getLogs", result([log]))
        for first, last, address, topic in (
            (1, 1, other, b"\1" * 32),
            (1, 1, SOMEBODY, b"\2" * 32),
            (2, 3, SOMEBODY, b"\1" * 32),
        ):
            with pytest.raises(MalformedAnswer, match="foreign logs"):
                ask(
                    liar.url,
                    partial(
                        Chain.logs, first=first, last=last, addresses=[address], topics=[topic]
                    ),
                )
        found = ask(liar.url, lambda c: c.logs(1, 1, [SOMEBODY], [b"\1" * 32]))
        assert len(found) == 1


def test_an_answer_without_end_is_cut_off(node: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs_market.chain.rpc._MAX_ANSWER", 10_000)
    with between(node.url) as liar:
        liar.fault = answering("eth_getCode", result("0x" + "00" * 10_000))
        with pytest.raises(NodeUnreachable):
            ask(liar.url, lambda c: c.code(SOMEBODY), attempts=1)


def test_a_dead_node_is_asked_again_for_a_while(node: Anvil) -> None:
    def twice_dead(method: str, count: int) -> str | None:
        return "before" if method == "eth_getBalance" and count < 3 else None

    with between(node.url) as flaky:
        flaky.fault = twice_dead
        assert ask(flaky.url, lambda c: c.balance(SOMEBODY)) == 0
        flaky.fault = lambda method, _count: "before" if method == "eth_getBalance" else None
        with pytest.raises(NodeUnreachable, match="check that it runs"):
            ask(flaky.url, lambda c: c.balance(SOMEBODY), attempts=2)


def test_a_silent_node_costs_bounded_time(node: Anvil) -> None:
    hang = threading.Event()

    def wait(method: str, _count: int) -> str | None:
        if method == "eth_getBalance":
            hang.wait(patience.seconds(30))
        return None

    with between(node.url) as silent:
        silent.fault = wait
        try:
            with pytest.raises(NodeUnreachable):
                ask(silent.url, lambda c: c.balance(SOMEBODY), timeout=0.2, attempts=2)
        finally:
            hang.set()


@pytest.mark.parametrize("url", ["", "localhost", "ftp://x", "http://", "file:///etc/passwd"])
def test_what_is_no_url_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="correct rpc, or --rpc"):
        Chain(url, 1, confirmations=1)


def test_a_secret_in_the_url_is_not_told() -> None:
    url = "http://user:hunter2@127.0.0.1:9/v3/abcdef?key=hunter3"

    async def run() -> None:
        async with Chain(url, 1, confirmations=1, attempts=1):
            pass

    with pytest.raises(NodeUnreachable) as failure:
        asyncio.run(run())
    text = f"{failure.value!r} {failure.value}"
    assert "127.0.0.1:9" in text
    for secret in ("hunter", "abcdef", "user"):
        assert secret not in text


@pytest.fixture(params=["anvil", "eth-tester"])
def contracts(request: pytest.FixtureRequest) -> tuple[str, int, Deployed]:
    """The same contracts on two chains that report a revert in two ways."""
    if request.param == "anvil":
        node: Anvil = request.getfixturevalue("node")
        return node.url, ANVIL_CHAIN_ID, request.getfixturevalue("on_anvil")
    dev: Dev = request.getfixturevalue("dev")
    dev.fund(SOMEBODY)  # the chain does not even simulate calls of an account without coin
    return dev.url, dev.chain_id, dev.contracts


def test_a_contract_s_error_is_named(contracts: tuple[str, int, Deployed]) -> None:
    url, chain_id, deployed = contracts
    terms = Terms(SOMEBODY, SOMEBODY, SOMEBODY, 60, 2**40, b"\1" * 32, b"\2" * 32)
    junk = Voucher(b"\0" * 32, 5, b"\0" * 65)

    async def run() -> None:
        async with Chain(url, chain_id, confirmations=1) as chain:
            channels, token = Channels(chain, deployed.channels), Erc20(chain, deployed.token)
            for call, said in (
                (channels.withdraw(SOMEBODY, 5), r"Insufficient\(0\); the deposit holds no more"),
                (channels.redeem(terms, junk), r"NoChannel\(\); the channel is closed"),
                (token._call("transfer", SOMEBODY, 5), r"ERC20InsufficientBalance\(0x"),
            ):
                assert call.receiver is not None
                with pytest.raises(Reverted, match=said):
                    await chain.call(call.receiver, call.data, sender=SOMEBODY)
                with pytest.raises(Reverted, match=said):
                    await chain.estimate_gas(SOMEBODY, call.receiver, call.data)

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [
        {"code": 3, "message": "execution reverted", "data": "0xf044dba0"},
        {"code": -32000, "message": "execution reverted", "data": {"data": "0xf044dba0"}},
        {"code": -32000, "message": r"execution reverted: b'\xf0D\xdb\xa0'"},
    ],
    ids=["anvil and geth", "nested", "eth-tester"],
)
def test_each_node_s_way_to_tell_of_a_revert(error: dict[str, Any]) -> None:
    failure = _failure("the node", error)
    assert isinstance(failure, Reverted)
    assert "NoChannel()" in str(failure)
    assert failure.data == bytes.fromhex("f044dba0")


def test_other_errors_are_no_reverts() -> None:
    failure = _failure("the node", {"code": -32000, "message": "nonce too low\x1b[31m"})
    assert isinstance(failure, NodeRefused)
    assert "\x1b" not in str(failure)


def test_no_contract_at_an_address(dev: Dev, tmp_path: Path) -> None:
    async def run() -> None:
        async with Chain(dev.url, dev.chain_id, confirmations=1) as chain:
            with pytest.raises(MalformedAnswer, match="check the addresses in"):
                await Erc20(chain, SOMEBODY).balance_of(SOMEBODY)

    asyncio.run(run())
