# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Signing in with a wallet by EIP-4361, in one fixed form.

A request for a message leaves nothing behind. The nonce carries a MAC over account and time. So the
whole message can be made again from account, time and nonce. The signed message must equal it to
the byte: with another domain, chain, URI or statement it is another message. A nonce works once.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlsplit

from fs_net.fullnode.http.describe import checksummed, parse_address
from fs_net.fullnode.http.problems import Problem

MESSAGE_LIFETIME = 5 * 60  # seconds
SESSION_LIFETIME = 12 * 3600  # seconds
ENTROPY = 16  # bytes
_MOST_USED = 16_384  # used nonces, and closed sessions, that are remembered
_MAC = 16  # bytes
_STATEMENT = "Show me the orders and earnings of this account. This moves no money."
_FIELDS = re.compile(
    r"\n(?P<address>0x[0-9a-fA-F]{40})\n.*\nNonce: (?P<nonce>[0-9a-f]{64})"
    r"\nIssued At: (?P<issued>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n",
    re.DOTALL,
)

Recover = Callable[[bytes, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Site:
    """The site that asks; ``origin`` is its name in browsers, such as https://node.example."""

    origin: str
    chain_id: int

    @property
    def domain(self) -> str:
        """The host, with the port unless it is the default."""
        return urlsplit(self.origin).netloc


class SignIn:
    """Makes messages, checks signatures and manages sessions; time and entropy are arguments."""

    def __init__(self, site: Site, recover: Recover, secret: bytes) -> None:
        """``recover`` returns the account (20 bytes) that made a ``personal_sign`` signature.

        It raises ValueError if no account did. ``secret`` is 32 bytes, new for each start.
        """
        self._site, self._recover, self._secret = site, recover, secret
        self._nonces, self._closed = _Spent(), _Spent()

    def message(self, account: bytes, now: int, entropy: bytes) -> str:
        """Return the message for ``account`` to sign; ``now`` is in seconds since the epoch."""
        return self._message(account, now, entropy.hex() + self._nonce_mac(account, now, entropy))

    def accept(self, message: str, signature: str, now: int) -> bytes:
        """Return the account that signed; Problem if message, signature or time is wrong."""
        account, issued, nonce = self._read_untrusted(message)
        if not issued <= now < issued + MESSAGE_LIFETIME:
            raise Problem(401, "the message is not from the last five minutes; ask for another")
        if self._nonces.has(nonce):
            raise Problem(401, "the message was used before; ask for another")
        if self._nonces.is_full(now) or self._closed.is_full(now):
            raise Problem(503, "too many accounts sign in at present; wait some minutes")
        if self._whose_untrusted(message, signature) != account:
            raise Problem(401, "another account signed; sign with the account that you named")
        self._nonces.add(nonce, issued + MESSAGE_LIFETIME)
        return account

    def open_session(self, account: bytes, now: int, entropy: bytes) -> str:
        """Return the content of the session's cookie."""
        content = account + (now + SESSION_LIFETIME).to_bytes(8, "big") + entropy
        return urlsafe_b64encode(content + self._mac(b"session", content)).decode()

    def account_of(self, session: str, now: int) -> bytes | None:
        """Return the account of a session; None if it is invalid, expired or closed."""
        content = self._session_untrusted(session)
        if content is None or self._closed.has(content):
            return None
        return content[:20] if now < int.from_bytes(content[20:28], "big") else None

    def close_session(self, session: str) -> None:
        """End a session, so that no copy of its cookie works any more."""
        content = self._session_untrusted(session)
        if content is not None:
            self._closed.add(content, int.from_bytes(content[20:28], "big"))

    def _message(self, account: bytes, issued: int, nonce: str) -> str:
        """Write the message of EIP-4361, "Message Format"."""
        site = self._site
        return (
            f"{site.domain} wants you to sign in with your Ethereum account:\n"
            f"{checksummed(account)}\n\n{_STATEMENT}\n\n"
            f"URI: {site.origin}\nVersion: 1\nChain ID: {site.chain_id}\nNonce: {nonce}\n"
            f"Issued At: {_text(issued)}\nExpiration Time: {_text(issued + MESSAGE_LIFETIME)}"
        )

    def _read_untrusted(self, message: str) -> tuple[bytes, int, str]:
        found = _FIELDS.search(message)
        account = parse_address(found["address"]) if found else None
        issued = _seconds(found["issued"]) if found else None
        if found is None or account is None or issued is None:
            raise Problem(
                401, "the message is not from this full node; ask for one, and sign it unchanged"
            )
        nonce = found["nonce"]
        mac = self._nonce_mac(account, issued, bytes.fromhex(nonce[: 2 * ENTROPY]))
        is_ours = hmac.compare_digest(mac, nonce[2 * ENTROPY :])
        if not is_ours or message != self._message(account, issued, nonce):
            raise Problem(
                401,
                f"the message is not the one from {self._site.domain}; if another site showed it "
                "to you, that site wants to sign in as you: ask for a message here, and sign it "
                "unchanged",
            )
        return account, issued, nonce

    def _whose_untrusted(self, message: str, signature: str) -> bytes:
        try:
            if signature[:2] != "0x" or len(signature) != 132:
                raise ValueError
            return self._recover(message.encode(), bytes.fromhex(signature[2:]))
        except ValueError:
            raise Problem(
                401,
                "the signature does not belong to a simple account; sign the message with the "
                "account's key (personal_sign): contract wallets cannot sign in",
            ) from None

    def _session_untrusted(self, session: str) -> bytes | None:
        try:
            raw = urlsafe_b64decode(session.encode("ascii"))
        except (ValueError, Base64Error):
            return None
        content, mac = raw[:-_MAC], raw[-_MAC:]
        if len(content) != 20 + 8 + ENTROPY:
            return None
        return content if hmac.compare_digest(mac, self._mac(b"session", content)) else None

    def _nonce_mac(self, account: bytes, issued: int, entropy: bytes) -> str:
        return self._mac(b"nonce", account + issued.to_bytes(8, "big") + entropy).hex()

    def _mac(self, purpose: bytes, content: bytes) -> bytes:
        return hmac.digest(self._secret, purpose + b"\0" + content, sha256)[:_MAC]


class _Spent:
    """Used nonces and closed sessions, kept until they expire."""

    def __init__(self) -> None:
        self._until: OrderedDict[str | bytes, int] = OrderedDict()

    def has(self, token: str | bytes) -> bool:
        return token in self._until

    def add(self, token: str | bytes, until: int) -> None:
        self._until.setdefault(token, until)

    def is_full(self, now: int) -> bool:
        """Forget what has expired; return whether there is no room left."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        return len(self._until) >= _MOST_USED


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> int | None:
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(at.timestamp()) if at.year >= 1970 else None
