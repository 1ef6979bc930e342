"""What a contract said when it refused: its errors by their selectors, with the user's remedy."""

import json
from functools import cache
from importlib import resources

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from fs_market.core.wire.ethereum import keccak

# What any contract may revert with. Source: Solidity, "Panic via assert and Error via require".
_STANDARD = ("Error(string)", "Panic(uint256)")
_MAX_DATA = 4096  # bytes that are looked at
_MAX_SHOWN = 200  # characters of an argument
_REMEDIES = {
    "Insufficient": "deposit more with fs-tunnel wallet deposit",
    "ERC20InsufficientBalance": "send the account more of the token",
    "ERC20InsufficientAllowance": "repeat the command",
    "TooEarly": "wait until then",
    "Underbonded": "stake more, or offer fewer slots",
    "BelowMinimum": "stake more",
    "NoChannel": "the channel is closed; open another",
    "IsClosing": "the channel is being closed; open another",
    "NothingNew": "it was done before; there is nothing to do",
}


def explain(data: bytes) -> str | None:
    """``Insufficient(5); deposit more …``; None where no contract of ours says that."""
    signature = _signatures().get(data[:4])
    if signature is None:
        return None
    name, _, types = signature[:-1].partition("(")
    try:
        values = decode(types.split(",") if types else [], data[4:_MAX_DATA])
    except (DecodingError, OverflowError, ValueError):
        return None
    said = f"{name}({', '.join(map(_say, values))})"
    return f"{said}; {_REMEDIES[name]}" if name in _REMEDIES else said


@cache
def _signatures() -> dict[bytes, str]:
    text = resources.files("fs_market.artefacts").joinpath("errors.json").read_text()
    listed = {bytes.fromhex(selector[2:]): each for selector, each in json.loads(text).items()}
    return listed | {keccak(each.encode())[:4]: each for each in _STANDARD}


def _say(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return "".join(c for c in text[:_MAX_SHOWN] if c.isprintable())
