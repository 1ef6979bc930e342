# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors with which a contract reverts, by their selectors, with the user's remedy."""

import ast
import json
import re
from functools import cache
from importlib import resources

from fs_market.core.wire.ethereum import keccak

# Any contract may revert with these.  Source: Solidity, "Panic via assert and Error via require".
_STANDARD = ("Error(string)", "Panic(uint256)")
_MAX_DATA = 4096  # bytes that are decoded, and characters of a message that are searched
_MAX_SHOWN = 200  # characters of an argument
_BYTES_IN_MESSAGE = re.compile(r"""b(['"]).*\1""", re.DOTALL)
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
    signature = _signatures().get(data[:4])
    if signature is None:
        return None
    # Here, since it takes long to import, and most commands meet no revert.
    from eth_abi.abi import decode  # noqa: PLC0415
    from eth_abi.exceptions import DecodingError  # noqa: PLC0415

    name, _, types = signature[:-1].partition("(")
    try:
        values = decode(types.split(",") if types else [], data[4:_MAX_DATA])
    except (DecodingError, OverflowError, ValueError):
        return None
    said = f"{name}({', '.join(map(_say, values))})"
    return f"{said}; {_REMEDIES[name]}" if name in _REMEDIES else said


def data_in_message_untrusted(message: str) -> bytes | None:
    """Return the data of a revert, which eth-tester writes into its message.

    Return None if there is no such data.
    """
    found = _BYTES_IN_MESSAGE.search(message[:_MAX_DATA])
    try:
        raw = ast.literal_eval(found[0]) if found else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return raw if isinstance(raw, bytes) else None


@cache
def _signatures() -> dict[bytes, str]:
    text = resources.files("fs_market.artefacts").joinpath("errors.json").read_text()
    listed = {bytes.fromhex(selector[2:]): each for selector, each in json.loads(text).items()}
    return listed | {keccak(each.encode())[:4]: each for each in _STANDARD}


def _say(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return "".join(c for c in text[:_MAX_SHOWN] if c.isprintable())
