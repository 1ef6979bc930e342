# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Signing in to a full node's page with a wallet (EIP-4361), for both sides."""

import json
from urllib.parse import urlsplit

from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.signatures import message_digest, recover_untrusted
from fs_market.errors import MarketError, Refused
from fs_market.money.wallet import Wallet
from fs_wire.errors import UsageError

_MAX_ANSWER = 8192  # bytes
_MAX_MESSAGE = 1024
_DEADLINE = 20.0  # seconds
_LOW_V = 27


def recover(message: bytes, signature: bytes) -> bytes:
    """The account that made this ``personal_sign``, 20 bytes; ValueError if no account did.

    Some hardware wallets count v from 0.
    """
    if len(signature) == 65 and signature[64] < _LOW_V:
        signature = signature[:64] + bytes([signature[64] + _LOW_V])
    try:
        return recover_untrusted(message_digest(message), signature).raw
    except Refused as error:
        raise ValueError(str(error)) from None


async def ask(url: str, account: Address) -> str:
    """The message that the page at ``url`` wants signed; it names that page and the account."""
    import aiohttp  # noqa: PLC0415 - slow to import, and ``recover`` does not need it

    origin, deadline = _origin(url), aiohttp.ClientTimeout(total=_DEADLINE)
    try:
        async with (
            aiohttp.ClientSession(timeout=deadline) as session,
            session.get(
                f"{origin}/api/v1/sign-in", params={"address": str(account)}, allow_redirects=False
            ) as answer,
        ):
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > _MAX_ANSWER:
                    raise ValueError("too long")
            message = json.loads(body)["message"] if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
        message = None
    if not isinstance(message, str):
        raise MarketError(f"{origin} does not let wallets sign in; check its address")
    _check_untrusted(message, origin, account)
    return message


def prove(message: str, wallet: Wallet) -> str:
    """The message with its signature, in the form that the page takes."""
    signature = wallet.sign_digest(message_digest(message.encode()))
    return f"{message}\n\n0x{signature.hex()}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise UsageError(f"{url!r} is not the address of a page; write https://node.example")
    return f"{parts.scheme}://{parts.netloc}"


def _check_untrusted(message: str, origin: str, account: Address) -> None:
    """Refuse a message of another site: whoever gave it to us could use our signature there."""
    lines = message.split("\n")
    begin = f"{urlsplit(origin).netloc} wants you to sign in with your Ethereum account:"
    is_plain = len(message) <= _MAX_MESSAGE and all(
        line.isascii() and (line.isprintable() or not line) for line in lines
    )
    if not (
        is_plain
        and lines[:3] == [begin, str(account), ""]
        and [line for line in lines if line.startswith("URI: ")] == [f"URI: {origin}"]
    ):
        raise MarketError(
            f"{origin} asks for a signature that another site would accept; nothing was signed. "
            "Use the address that the page itself has"
        )
