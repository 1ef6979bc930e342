# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every error that fs_market raises on purpose, below fs_wire's FlowShieldError.

FlowShieldError
├── UsageError
│   └── AmountError             a text is not an amount, a price or an address     (exit 2)
└── MarketError                 base of the other errors                           (exit 1)
    ├── Refused                 the other side broke a rule; ``reason`` is counted
    │   ├── MalformedMessage    its bytes are not a message of this protocol
    │   └── VoucherRefused      the contract would not pay for its voucher
    ├── StateError              the session's state does not allow the call
    ├── WalletError             a keystore cannot be read, written or unlocked
    │   └── WrongPassword       the password does not open the keystore
    ├── JournalError            the journal cannot be read or written
    ├── EngineRefused           the engine refused a request for one peer
    └── ChainError              something went wrong between us and the chain
        ├── NodeUnreachable     the chain node did not answer in time
        ├── MalformedAnswer     the chain node's answer has the wrong form
        ├── WrongChain          the chain node serves another chain than the user named
        ├── NodeRefused         the chain node answered with an error
        ├── Reverted            a contract refused the call
        ├── FeeTooHigh          the chain asks for more than the user allows
        ├── StillPending        a transaction was sent, and is not final yet
        ├── Displaced           a foreign transaction took the nonce of ours
        └── DeepReorg           the chain took back a final block
"""

from enum import IntEnum

from fs_wire.errors import FlowShieldError, UsageError


class Reason(IntEnum):
    """Why one side refused a message, or why a session ended.

    The numbers go over the wire, so they never change.
    """

    MALFORMED = 1  # the bytes are not canonical, do not fit the schema, or are too long or too deep
    VERSION = 2  # the message has another version of the session protocol
    UNEXPECTED = 3  # the state of the session does not expect this message
    RATE_LIMITED = 4  # the sender asks for too many checks of signatures
    CHAIN = 5  # the message is for another chain, contract or token
    STALE_QUOTE = 6  # the quote of this order is not ours, or has expired
    TERMS = 7  # the channel's terms are not those of the quote
    FOREIGN_CHANNEL = 8  # the message is for another channel than this session's
    BAD_SIGNATURE = 9  # the signature has no valid form, or is by another key
    NOTHING_NEW = 10  # the voucher promises no more than an earlier one
    OVER_DEPOSIT = 11  # the voucher promises more than the channel holds
    NO_CHANNEL = 12  # the chain does not know this channel as open
    FOREIGN_KEY = 13  # the channel is in use with another WireGuard key
    UNPAID = 14  # the client did not pay for its use in time
    COUNTS_DISAGREE = 15  # the provider claims more than the count and the tolerance allow
    STARVED = 16  # the client has paid everything, and the provider does not serve
    SILENT = 17  # the other side does not answer
    SPENT = 18  # the deposit or the budget is used up
    EXPIRED = 19  # the channel has expired, or somebody closes it
    DONE = 20  # one side wanted to stop
    FULL = 21  # the provider has no room for another client
    BAD_RECEIPT = 22  # the receipt does not follow from the counts and the earlier receipts
    PRICE = 23  # the price is above the user's limit
    REPLAYED = 24  # the same side has sent a later message

    @property
    def text(self) -> str:
        """The reason's text for logs and counters, such as ``bad signature``."""
        return self.name.lower().replace("_", " ")


class AmountError(UsageError):
    """A text is not an amount, a price or an address."""


class MarketError(FlowShieldError):
    """Base of the errors between clients, providers and chains."""


class Refused(MarketError):
    """The other side broke a rule.

    ``reason`` goes into counters and refusals, the message into logs.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MalformedMessage(Refused):
    """Bytes are not a message: not canonical, of no schema, too long or too deep."""

    def __init__(self, message: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(reason, message)


class VoucherRefused(Refused):
    """The contract would not pay for a voucher, or the voucher promises nothing more."""


class StateError(MarketError):
    """The session's state does not allow a call; nothing has changed."""


class WalletError(MarketError):
    """A keystore cannot be read, written or unlocked."""


class WrongPassword(WalletError):
    """A password does not open the keystore."""


class JournalError(MarketError):
    """The journal cannot be read or written."""


class EngineRefused(MarketError):
    """The engine refused a request for one peer: it does not have the peer, or has no room."""


class ChainError(MarketError):
    """Something went wrong between us and the chain."""


class NodeUnreachable(ChainError):
    """The chain node did not answer any attempt in time."""


class MalformedAnswer(ChainError):
    """The chain node's answer has a wrong type, length or form."""


class WrongChain(ChainError):
    """The chain node serves another chain than the user named."""


class NodeRefused(ChainError):
    """The chain node answered with an error; ``code`` is that of JSON-RPC."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class Reverted(ChainError):
    """A contract refused a call; ``data`` is an error of its ABI with the error's arguments."""

    def __init__(self, message: str, data: bytes = b"") -> None:
        self.data = data
        super().__init__(message)


class FeeTooHigh(ChainError):
    """The chain asks for more than the user allows."""


class StillPending(ChainError):
    """A transaction is in the journal and was sent, and is not final yet."""


class Displaced(ChainError):
    """Another transaction of the account took the nonce of ours, which can never be mined then."""


class DeepReorg(ChainError):
    """The chain took back a block that counted as final."""
