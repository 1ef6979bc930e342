"""Transport sessions: one keypair seals and opens packets; three sessions rotate per peer.

Source: WireGuard paper, sections 5.4.6 and 6.2; the rotation is the Linux driver's.
"""

from dataclasses import dataclass
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

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
from fs_tunnel.proto.replay import ReplayWindow

_nonce = Struct("<IQ").pack  # 4 zero bytes, then the counter: RFC 8439 with WireGuard's layout


class Keypair:
    """One session's two keys, its sending counter and its replay window."""

    # The packet path uses libcrypto rather than libsodium: it is several times as fast from Python.
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
        """Whether a packet may be sealed at ``now``."""
        return (
            now - self.created < REJECT_AFTER_TIME and self.sending_counter < REJECT_AFTER_MESSAGES
        )

    def seal(self, padded: bytes) -> bytes:
        """Return the datagram that carries ``padded``; SessionExpired once counters run out."""
        counter = self.sending_counter
        if counter >= REJECT_AFTER_MESSAGES:
            raise SessionExpired("the keypair has sealed all the messages it may")
        self.sending_counter = counter + 1
        return transport_header(self.remote_index, counter) + self._seal(
            _nonce(0, counter), padded, None
        )

    def open_untrusted(self, datagram: bytes, counter: int, now: float) -> bytes:
        """Return the padded packet inside a transport message (empty for a keepalive).

        SessionExpired past the key's limits, AuthenticationFailed for a wrong tag, ReplayDetected
        for a counter seen before or too old; the window moves only for what is authentic.
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
        """Section 6.2: after so many messages, or, on the initiator, after so much time."""
        return self.sending_counter > REKEY_AFTER_MESSAGES or (
            self.is_initiator and now - self.created >= REKEY_AFTER_TIME
        )

    def wants_rekey_after_receiving(self, now: float) -> bool:
        """Section 6.2: an initiator that only receives renews before the key is rejected."""
        return self.is_initiator and now - self.created >= REKEY_WHEN_RECEIVING_AFTER


@dataclass(frozen=True, slots=True)
class Session:
    """A keypair of the packet path, as the control plane remembers it."""

    local_index: int
    is_initiator: bool


class Sessions:
    """The previous, current and next session of one peer.

    ``next`` is a responder's: it becomes current when the first packet under it arrives, which is
    the proof that the initiator has it too.  Each method returns the sessions that fell out, whose
    keys and indices the caller frees.
    """

    __slots__ = ("previous", "current", "next")

    def __init__(self) -> None:
        self.previous: Session | None = None
        self.current: Session | None = None
        self.next: Session | None = None

    def begin_session(self, session: Session) -> list[Session]:
        """Install a handshake's result."""
        if session.is_initiator:
            # An unconfirmed next one is younger than the current: keep it for what is under way.
            kept, dropped = (
                (self.next, self.current) if self.next is not None else (self.current, None)
            )
            fallen = [dropped, self.previous]
            self.previous, self.current, self.next = kept, session, None
        else:
            fallen = [self.next, self.previous]
            self.previous, self.next = None, session
        return [each for each in fallen if each is not None]

    def confirm(self, session: Session) -> list[Session]:
        """The first packet under ``next`` came; call it only with that session."""
        fallen = [self.previous] if self.previous is not None else []
        self.previous, self.current, self.next = self.current, session, None
        return fallen

    def clear(self) -> list[Session]:
        """Forget all of them."""
        fallen = [each for each in (self.previous, self.current, self.next) if each is not None]
        self.previous = self.current = self.next = None
        return fallen
