"""Every error that fs_market raises on purpose, below fs_tunnel's FlowShieldError.

FlowShieldError
├── UsageError
│   └── AmountError             an amount, price or address that cannot be read   (exit 2)
└── MarketError                 base of the rest                                  (exit 1)
    ├── Refused                 the other side broke a rule; ``reason`` is counted
    │   ├── MalformedMessage    its bytes are no message of ours
    │   └── VoucherRefused      it is no voucher that the contract would pay for
    ├── StateError              the caller asked for what the session's state forbids
    ├── WalletError             a keystore cannot be read, written or unlocked
    │   └── WrongPassword       the password does not open it
    ├── JournalError            the books on the disk cannot be read or written
    ├── EngineRefused           the engine would not do what was asked for one peer
    └── ChainError              something between us and the chain
        ├── NodeUnreachable     the node did not answer in time
        ├── MalformedAnswer     the node answered what no node may
        ├── WrongChain          the node serves another chain than was named
        ├── NodeRefused         the node answered with an error
        ├── Reverted            a contract refused, by which of its errors
        ├── FeeTooHigh          the chain asks for more than the user allows
        ├── StillPending        a transaction was sent, and is not final yet
        ├── Displaced           a foreign transaction took the nonce of ours
        └── DeepReorg           the chain took back what was final
"""

from enum import IntEnum

from fs_wire.errors import FlowShieldError, UsageError


class Reason(IntEnum):
    """Why something of the other side was refused, or a session ended.

    The numbers go over the wire in refusals and stay what they are.
    """

    MALFORMED = 1  # not canonical, not of the schema, too long or too deep
    VERSION = 2  # of the session protocol
    UNEXPECTED = 3  # no such message in this state
    RATE_LIMITED = 4  # too many signatures to check
    CHAIN = 5  # another chain, contract or token
    STALE_QUOTE = 6  # the quote of this order is not ours, or has expired
    TERMS = 7  # the channel's terms are not those of the quote
    FOREIGN_CHANNEL = 8  # not the channel of this session
    BAD_SIGNATURE = 9  # of no valid form, or by another key
    NOTHING_NEW = 10  # a voucher for no more than an earlier one
    OVER_DEPOSIT = 11  # more than the channel holds
    NO_CHANNEL = 12  # the chain does not know this channel as open
    FOREIGN_KEY = 13  # the channel is in use with another WireGuard key
    UNPAID = 14  # what was used stayed unpaid for too long
    COUNTS_DISAGREE = 15  # claims more than was counted and the tolerance allows
    STARVED = 16  # all that may be paid is paid, and nothing is served
    SILENT = 17  # no answer
    SPENT = 18  # the deposit or the budget is used up
    EXPIRED = 19  # the channel ends, or is being closed
    DONE = 20  # somebody wanted to stop
    FULL = 21  # no room for another client
    BAD_RECEIPT = 22  # does not follow from what was counted and signed before
    PRICE = 23  # dearer than the user allows
    REPLAYED = 24  # overtaken by what the same side said since

    @property
    def text(self) -> str:
        """As it stands in logs and counters: ``bad signature``."""
        return self.name.lower().replace("_", " ")


class AmountError(UsageError):
    """A text that is no amount, price or address."""


class MarketError(FlowShieldError):
    """Base of what goes wrong between buyers, sellers and chains."""


class Refused(MarketError):
    """The other side's doing; ``reason`` goes into counters and refusals, the message into logs."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MalformedMessage(Refused):
    """Bytes that are no message: not canonical, of no schema, too long or too deep."""

    def __init__(self, message: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(reason, message)


class VoucherRefused(Refused):
    """A voucher that would not be paid, or that pays nothing more."""


class StateError(MarketError):
    """The session is not where this could be asked of it; nothing has changed."""


class WalletError(MarketError):
    """A keystore that cannot be read, written or unlocked."""


class WrongPassword(WalletError):
    """The password does not open the keystore."""


class JournalError(MarketError):
    """The books on the disk cannot be read or written."""


class EngineRefused(MarketError):
    """The engine would not do what was asked for one peer: it has none of that key, or no room."""


class ChainError(MarketError):
    """Something went wrong between us and the chain."""


class NodeUnreachable(ChainError):
    """The node did not answer in time, as often as it was asked."""


class MalformedAnswer(ChainError):
    """The node answered what no node may: a wrong type, length or form."""


class WrongChain(ChainError):
    """The node serves another chain than the one that was named."""


class NodeRefused(ChainError):
    """The node answered with an error; ``code`` is that of JSON-RPC."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class Reverted(ChainError):
    """A contract refused; ``data`` is what it returned, by its ABI an error and its arguments."""

    def __init__(self, message: str, data: bytes = b"") -> None:
        self.data = data
        super().__init__(message)


class FeeTooHigh(ChainError):
    """The chain asks for more than the user allows."""


class StillPending(ChainError):
    """A transaction was written down and sent, and is not final yet."""


class Displaced(ChainError):
    """Another transaction of the same account took the nonce of ours, which can never happen."""


class DeepReorg(ChainError):
    """The chain took back blocks that counted as final."""
