# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors with which a contract reverts, by their selectors, with the user's remedy.

This module reads all that it needs on import: an agent may be unable to read it later.
"""

import json
from importlib import resources

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from fs_market.core.wire.ethereum import keccak

# Any contract may revert with these.  Source: Solidity, "Panic via assert and Error via require".
_STANDARD = ("Error(string)", "Panic(uint256)")
_MAX_DATA = 4096  # bytes that are decoded
_MAX_SHOWN = 200  # characters of an argument
_REMEDIES = {
    "Insufficient": "the deposit holds no more; see fs-tunnel wallet balance",
    "Expired": "check this host's clock; a purchase that is too old needs another NAME",
    "ERC20InsufficientBalance": "send the account more of the token",
    "ERC20InsufficientAllowance": "repeat the command",
    "TooEarly": "wait until that time, and run the command again",
    "Underbonded": "stake more, or offer fewer slots",
    "BelowMinimum": "stake more",
    "NoChannel": "the channel is closed; open another",
    "IsClosing": "the channel is being closed; open another",
    "NothingNew": "this was done before, and there is nothing to do",
}


def explain(data: bytes) -> str | None:
    """Return an error as text, such as ``Insufficient(5); deposit more …``.

    Return None if no contract of ours has this error.
    """
    signature = _SIGNATURES.get(data[:4])
    if signature is None:
        return None
    name, _, types = signature[:-1].partition("(")
    try:
        values = decode(types.split(",") if types else [], data[4:_MAX_DATA])
    except (DecodingError, OverflowError, ValueError):
        return None
    said = f"{name}({', '.join(map(_say, values))})"
    return f"{said}; {_REMEDIES[name]}" if name in _REMEDIES else said


def _read_signatures() -> dict[bytes, str]:
    text = resources.files("fs_market.artefacts").joinpath("errors.json").read_text()
    listed = {bytes.fromhex(selector[2:]): each for selector, each in json.loads(text).items()}
    return listed | {keccak(each.encode())[:4]: each for each in _STANDARD}


def _say(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return "".join(c for c in text[:_MAX_SHOWN] if c.isprintable())


_SIGNATURES = _read_signatures()
