# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Seals and opens the packets of one session, in Python.

Source: WireGuard paper, sections 5.4.6 and 6.2.
"""

from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fs_tunnel.dataplane.replay import ReplayWindow
from fs_tunnel.proto.constants import (
    REJECT_AFTER_MESSAGES,
    REJECT_AFTER_TIME,
    REKEY_AFTER_MESSAGES,
    REKEY_AFTER_TIME,
    REKEY_WHEN_RECEIVING_AFTER,
)
from fs_tunnel.proto.errors import AuthenticationFailed, SessionExpired
from fs_tunnel.proto.messages import TRANSPORT_HEADER_LEN, transport_header
from fs_tunnel.proto.path import PathKeys

_nonce = Struct("<IQ").pack  # 4 zero bytes, then the counter: RFC 8439 with WireGuard's layout


class Keypair:
    """One session's two keys, its sending counter and its replay window.

    Times are seconds of the device's clock.
    """

    # This uses libcrypto and not libsodium: from Python, it is several times as fast.
    __slots__ = (
        "local_index",
        "remote_index",
        "is_initiator",
        "created",
        "sending_counter",
        "_seal",
        "_open",
        "_window",
    )

    def __init__(self, keys: PathKeys) -> None:
        self.local_index = keys.local_index
        self.remote_index = keys.remote_index
        self.is_initiator = keys.is_initiator
        self.created = keys.created
        self.sending_counter = 0
        self._seal = ChaCha20Poly1305(keys.sending).encrypt
        self._open = ChaCha20Poly1305(keys.receiving).decrypt
        self._window = ReplayWindow()

    def may_send(self, now: float) -> bool:
        """Return whether a packet may be sealed at ``now``."""
        return (
            now - self.created < REJECT_AFTER_TIME and self.sending_counter < REJECT_AFTER_MESSAGES
        )

    def seal(self, padded: bytes) -> bytes:
        """Return the datagram that carries a padded packet; empty, it is a keepalive.

        Raise SessionExpired if the counters have run out.
        """
        counter = self.sending_counter
        if counter >= REJECT_AFTER_MESSAGES:
            raise SessionExpired("the keypair has sealed as many messages as it may")
        self.sending_counter = counter + 1
        return transport_header(self.remote_index, counter) + self._seal(
            _nonce(0, counter), padded, None
        )

    def open_untrusted(self, datagram: bytes, counter: int, now: float) -> bytes:
        """Return the padded packet inside a transport message; a keepalive has an empty one.

        Raise SessionExpired if the keypair is too old or the counter too high, AuthenticationFailed
        if the tag does not verify, and ReplayDetected if the counter was seen or is too old.  Only
        an authentic message moves the replay window.
        """
        if now - self.created >= REJECT_AFTER_TIME or counter >= REJECT_AFTER_MESSAGES:
            raise SessionExpired("the keypair is too old to receive with")
        try:
            padded = self._open(
                _nonce(0, counter), memoryview(datagram)[TRANSPORT_HEADER_LEN:], None
            )
        except InvalidTag:
            raise AuthenticationFailed("a transport message's tag does not verify") from None
        self._window.update(counter)
        return padded

    def wants_rekey_after_sending(self, now: float) -> bool:
        """Return whether a session that seals should be renewed (section 6.2).

        Either side renews it after REKEY_AFTER_MESSAGES, the initiator after REKEY_AFTER_TIME too.
        """
        return self.sending_counter > REKEY_AFTER_MESSAGES or (
            self.is_initiator and now - self.created >= REKEY_AFTER_TIME
        )

    def wants_rekey_after_receiving(self, now: float) -> bool:
        """Return whether a session that only receives should be renewed (section 6.2).

        The initiator renews it in time, before its keys are rejected.
        """
        return self.is_initiator and now - self.created >= REKEY_WHEN_RECEIVING_AFTER
