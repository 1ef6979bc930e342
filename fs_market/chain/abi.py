# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Encodes the calls of a contract, and decodes its results and events, by its ABI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import abi_to_signature, collapse_if_tuple

from fs_market.chain.answers import Log
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.errors import MalformedAnswer
from fs_wire.errors import UsageError

_Parameters = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """An event with its arguments by name, and the log from which it was read."""

    name: str
    args: Mapping[str, Any]
    log: Log


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    inputs: _Parameters
    outputs: _Parameters
    digest: bytes


class Abi:
    """The functions and events of a contract; structs are tuples.

    Source: the contract ABI specification of Solidity.
    """

    def __init__(self, abi: Sequence[Mapping[str, Any]]) -> None:
        entries: dict[str, dict[str, _Entry]] = {"function": {}, "event": {}}
        self._constructor: _Parameters = ()
        for each in abi:
            if each["type"] == "constructor":
                self._constructor = each["inputs"]
            if (kind := each["type"]) in entries:
                digest = keccak(abi_to_signature(each).encode())  # type: ignore[arg-type]
                entries[kind][each["name"]] = _Entry(
                    each["name"], each["inputs"], each.get("outputs", ()), digest
                )
        self._functions = entries["function"]
        self._events = {entry.digest: entry for entry in entries["event"].values()}
        self._topics = {entry.name: entry.digest for entry in entries["event"].values()}

    def encode(self, function: str, *args: Any) -> bytes:
        """Return the data of a call; raise UsageError if an argument does not fit its type."""
        entry = self._functions[function]
        try:
            return entry.digest[:4] + encode(_types(entry.inputs), [_plain(each) for each in args])
        except (EncodingError, ValueError, TypeError, OverflowError) as error:
            raise UsageError(
                f"{function} cannot take this argument ({error}); correct the amount"
            ) from None

    def encode_constructor(self, *args: Any) -> bytes:
        """Return the bytes that follow the bytecode in the transaction that makes the contract."""
        return encode(_types(self._constructor), [_plain(each) for each in args])

    def decode(self, function: str, raw: bytes) -> tuple[Any, ...]:
        """Return the values that a call returned; raise MalformedAnswer if the types do not fit."""
        return _decode(self._functions[function].outputs, raw, function)

    def topic(self, event: str) -> bytes:
        """Return the first topic of an event's logs: 32 bytes."""
        return self._topics[event]

    def event(self, log: Log) -> Event:
        """Return the event of a log; raise MalformedAnswer if the contract has no such event."""
        entry = self._events.get(log.topics[0] if log.topics else b"")
        if entry is None:
            raise MalformedAnswer(
                "the chain node answered with an unknown event; use another chain node"
            )
        indexed = [each for each in entry.inputs if each["indexed"]]
        plain = [each for each in entry.inputs if not each["indexed"]]
        values = _decode(indexed, b"".join(log.topics[1:]), entry.name) + _decode(
            plain, log.data, entry.name
        )
        names = [each["name"] for each in (*indexed, *plain)]
        return Event(entry.name, dict(zip(names, values, strict=True)), log)


def _types(parameters: _Parameters) -> list[str]:
    return [collapse_if_tuple(each) for each in parameters]  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """Return a value as the codec takes it: with addresses as bytes, also in structs."""
    if isinstance(value, Address):
        return value.raw
    return tuple(_plain(each) for each in value) if isinstance(value, tuple) else value


def _decode(parameters: _Parameters, raw: bytes, what: str) -> tuple[Any, ...]:
    try:
        values = decode(_types(parameters), raw)
    except (DecodingError, OverflowError, ValueError):
        raise MalformedAnswer(
            f"the answer to {what}() has the wrong form; check the addresses in [contracts], and "
            "that each is the contract that its key says"
        ) from None
    return _with_addresses(parameters, values)


def _with_addresses(parameters: _Parameters, values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(
        Address(bytes.fromhex(value[2:]))
        if each["type"] == "address"
        else _with_addresses(each["components"], value)
        if each["type"] == "tuple"
        else value
        for each, value in zip(parameters, values, strict=True)
    )
