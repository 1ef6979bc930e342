# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The shipped contracts on a development chain: a channel from opening to closing."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.crypto import keccak
from web3 import Web3
from web3.providers.eth_tester import EthereumTesterProvider

REPOSITORY = Path(__file__).resolve().parents[3]
GAS = json.loads((REPOSITORY / "contracts" / "snapshots" / "gas.json").read_text())
DAY = 86_400
DEPOSIT, PAID = 100_000_000, 12_345_678


def _field(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "name": name}


def artefact(name: str) -> Any:
    return json.loads((resources.files("fs_market.artefacts") / f"{name}.json").read_text())


class Market:
    """The contracts on their own chain, Alice who pays, and Bob who is paid."""

    alice: str
    bob: str

    def __init__(self) -> None:
        self.web3 = Web3(EthereumTesterProvider())
        self.alice, self.bob = list(self.web3.eth.accounts)[:2]
        self.session: LocalAccount = Account.create()
        self.token = self.deploy("TestToken")
        self.channels = self.deploy("Channels", self.token.address)
        for each in (self.alice, self.bob):
            self.send(self.alice, self.token.functions.mint(each, 10 * DEPOSIT))
            self.send(each, self.token.functions.approve(self.channels.address, 2**256 - 1))
        self.send(self.alice, self.channels.functions.deposit(5 * DEPOSIT))

    def deploy(self, name: str, *args: Any) -> Any:
        compiled = artefact(name)
        factory = self.web3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
        receipt = self.web3.eth.wait_for_transaction_receipt(
            factory.constructor(*args).transact({"from": self.alice})
        )
        return self.web3.eth.contract(address=receipt["contractAddress"], abi=compiled["abi"])

    def send(self, sender: str, call: Any) -> int:
        """Send a call; return the gas from its receipt."""
        receipt = self.web3.eth.wait_for_transaction_receipt(call.transact({"from": sender}))
        assert receipt["status"] == 1
        return int(receipt["gasUsed"])

    def terms(self) -> tuple[Any, ...]:
        now = self.web3.eth.get_block("latest")["timestamp"]
        order, salt = keccak(text="order"), keccak(text="salt")
        return (self.alice, self.bob, self.session.address, 3600, now + 30 * DAY, order, salt)

    def signed(self, struct: str, message: dict[str, Any]) -> Any:
        """Sign with the session key, by the shipped types."""
        shipped = artefact("eip712")["Channels"]
        fields = shipped["types"][struct]["type"].removeprefix(f"{struct}(").removesuffix(")")
        domain = {
            "name": shipped["name"],
            "version": shipped["version"],
            "chainId": self.web3.eth.chain_id,
            "verifyingContract": self.channels.address,
        }
        types = {struct: [_field(*each.split()) for each in fields.split(",")]}
        return self.session.sign_message(encode_typed_data(domain, types, message))


@pytest.fixture
def market() -> Market:
    return Market()


def test_a_channel_from_opening_to_closing(market: Market) -> None:
    functions, terms = market.channels.functions, market.terms()
    gas = {"open": market.send(market.alice, functions.open(terms, DEPOSIT))}
    channel_id = functions.channelIdOf(terms).call()
    first, last = (
        market.signed("Voucher", {"channelId": channel_id, "cumulative": amount}).signature
        for amount in (PAID, 2 * PAID)
    )
    gas["redeem first"] = market.send(market.bob, functions.redeem(terms, PAID, first))
    gas["closeByPayee"] = market.send(market.bob, functions.closeByPayee(terms, 2 * PAID, last))
    assert functions.balanceOf(market.alice).call() == 5 * DEPOSIT - 2 * PAID
    assert functions.balanceOf(market.bob).call() == 2 * PAID
    market.send(market.bob, functions.withdraw(market.bob, 2 * PAID))
    assert market.token.functions.balanceOf(market.bob).call() == 10 * DEPOSIT + 2 * PAID
    for name, used in gas.items():
        # Zero bytes in calldata are cheaper, and addresses and signatures differ.
        assert used == pytest.approx(GAS[f"Channels: {name}"], rel=0.01), name


def test_python_and_the_contract_sign_the_same_voucher(market: Market) -> None:
    channel_id = keccak(text="any")
    for amount in (0, 1, 2**96 - 1):
        signed = market.signed("Voucher", {"channelId": channel_id, "cumulative": amount})
        expected = market.channels.functions.voucherDigest(channel_id, amount).call()
        assert signed.message_hash == expected


def test_a_channel_is_named_as_the_specification_says(market: Market) -> None:
    terms = market.terms()
    addresses = (market.channels.address, *terms[:3])
    words = [
        market.web3.eth.chain_id.to_bytes(32),
        *(bytes.fromhex(each[2:]).rjust(32, b"\0") for each in addresses),
        *(number.to_bytes(32) for number in terms[3:5]),
        *terms[5:],
    ]
    assert market.channels.functions.channelIdOf(terms).call() == keccak(b"".join(words))


def test_stake_and_entry_of_a_provider(market: Market) -> None:
    """The court is a plain account here, because the book accepts any address."""
    rules = (DEPOSIT, 1_000_000, 14 * DAY, 6 * DAY, 3000, 5000)
    book = market.deploy("StakeBook", market.token.address, market.bob, rules)
    registry = market.deploy("Registry", book.address, DEPOSIT // 2)
    market.send(market.alice, market.token.functions.approve(book.address, DEPOSIT))
    market.send(market.alice, book.functions.deposit(DEPOSIT))
    market.send(market.alice, book.functions.register(market.alice, DEPOSIT, b""))
    offer = (2, keccak(text="prices"), b"")
    node, heartbeat = keccak(text="node"), keccak(text="heartbeat")
    announce = registry.functions.announce(market.alice, market.bob, node, heartbeat, offer)
    market.send(market.alice, announce)
    assert registry.functions.isListed(market.alice).call()
    assert book.functions.rules().call() == rules
    market.send(market.bob, book.functions.hold(node, market.alice))
    market.send(market.bob, book.functions.slash(node, market.alice, 1, market.bob, []))
    assert not registry.functions.isListed(market.alice).call()


def test_errors_are_listed_by_their_selectors() -> None:
    for selector, signature in artefact("errors").items():
        assert selector == "0x" + function_signature_to_4byte_selector(signature).hex()
    assert {"BadSignature()", "TooEarly(uint256)"} <= set(artefact("errors").values())


def test_types_are_listed_by_their_hashes() -> None:
    specified = (REPOSITORY / "contracts" / "SPEC.md").read_text()
    for contract in artefact("eip712").values():
        assert f"`{contract['name']}`" in specified
        for struct, entry in contract["types"].items():
            assert entry["hash"] == "0x" + keccak(text=entry["type"]).hex()
            assert entry["type"] in specified, struct
