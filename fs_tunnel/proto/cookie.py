# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""MACs and cookies: cheap proof that a sender knows us, and that it owns its address.

Source: WireGuard paper, sections 5.3, 5.4.4 and 5.4.7.
"""

from collections.abc import Callable
from hmac import compare_digest
from ipaddress import ip_address

from fs_tunnel.proto.constants import COOKIE_LIFETIME, LABEL_COOKIE, LABEL_MAC1
from fs_tunnel.proto.crypto import hash32, mac16, xaead_open, xaead_seal
from fs_tunnel.proto.errors import AuthenticationFailed
from fs_tunnel.proto.messages import COOKIE_NONCE_LEN, MAC_LEN, CookieReply
from fs_wire.types import Endpoint

_MAC1 = slice(-2 * MAC_LEN, -MAC_LEN)
_MAC2 = slice(-MAC_LEN, None)
_BEFORE_MAC1 = slice(None, -2 * MAC_LEN)
_BEFORE_MAC2 = slice(None, -MAC_LEN)
_SECRET_LEN = 32


class CookieChecker:
    """Checks the MACs of handshake messages that come to us, and gives out cookies.

    Times are seconds of the device's clock.
    """

    __slots__ = ("_mac1_key", "_cookie_key", "_entropy", "_secret", "_secret_until")

    def __init__(self, public_key: bytes, entropy: Callable[[int], bytes]) -> None:
        """``public_key`` is our own, 32 bytes: a sender that does not know it gets no answer.

        ``entropy`` returns as many random bytes as it is asked for.
        """
        self._mac1_key = hash32(LABEL_MAC1, public_key)
        self._cookie_key = hash32(LABEL_COOKIE, public_key)
        self._entropy = entropy
        self._secret = b""
        self._secret_until = float("-inf")

    def check_mac1(self, datagram: bytes) -> None:
        """Check that the sender of a handshake message knows our public key.

        Raise AuthenticationFailed if it does not.
        """
        if not compare_digest(mac16(self._mac1_key, datagram[_BEFORE_MAC1]), datagram[_MAC1]):
            raise AuthenticationFailed("mac1 does not verify")

    def check_mac2(self, datagram: bytes, source: Endpoint, now: float) -> None:
        """Check that a handshake message proves to own ``source``, by a cookie sent to there.

        Raise AuthenticationFailed if it holds no such cookie, or one that is too old.
        """
        if now >= self._secret_until:
            raise AuthenticationFailed("no cookie is valid")
        expected = mac16(self._cookie(source), datagram[_BEFORE_MAC2])
        if not compare_digest(expected, datagram[_MAC2]):
            raise AuthenticationFailed("mac2 does not verify")

    def create_reply(self, datagram: bytes, source: Endpoint, now: float) -> bytes:
        """Return the datagram that gives the sender of a handshake message its cookie."""
        if now >= self._secret_until:
            self._secret = self._entropy(_SECRET_LEN)
            self._secret_until = now + COOKIE_LIFETIME
        nonce = self._entropy(COOKIE_NONCE_LEN)
        encrypted = xaead_seal(self._cookie_key, nonce, self._cookie(source), datagram[_MAC1])
        sender = int.from_bytes(datagram[4:8], "little")
        return CookieReply(sender, nonce, encrypted).to_bytes()

    def _cookie(self, source: Endpoint) -> bytes:
        address = ip_address(source.ip).packed + source.port.to_bytes(2, "big")
        return mac16(self._secret, address)


class CookieGenerator:
    """Adds the MACs to handshake messages for one peer, and keeps the cookie that it gave us.

    Times are seconds of the device's clock.
    """

    __slots__ = ("_mac1_key", "_cookie_key", "_cookie", "_cookie_until", "_latest_mac1")

    def __init__(self, peer_public_key: bytes) -> None:
        """``peer_public_key`` has 32 bytes."""
        self._mac1_key = hash32(LABEL_MAC1, peer_public_key)
        self._cookie_key = hash32(LABEL_COOKIE, peer_public_key)
        self._cookie = b""
        self._cookie_until = float("-inf")
        self._latest_mac1: bytes | None = None

    def add_macs(self, message: bytes, now: float) -> bytes:
        """Return a handshake message with its MACs, in whose place ``message`` has zeroes."""
        head = message[_BEFORE_MAC1]
        mac1 = self._latest_mac1 = mac16(self._mac1_key, head)
        mac2 = bytes(MAC_LEN)
        if now < self._cookie_until:
            mac2 = mac16(self._cookie, head, mac1)
        return head + mac1 + mac2

    def consume_reply(self, reply: CookieReply, now: float) -> None:
        """Keep the cookie of a reply.

        Raise AuthenticationFailed unless the reply answers our latest message.
        """
        if self._latest_mac1 is None:
            raise AuthenticationFailed("a cookie reply answers no message of ours")
        self._cookie = xaead_open(
            self._cookie_key, reply.nonce, reply.encrypted_cookie, self._latest_mac1
        )
        self._cookie_until = now + COOKIE_LIFETIME
        self._latest_mac1 = None
