# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The states of a session on the provider's side, and the table of their transitions."""

from enum import Enum


class State(Enum):
    """A state of the provider's side."""

    QUOTING = "quoting"
    CHECKING = "checking"
    SERVING = "serving"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    OVER = "over"


TRANSITIONS: dict[State, dict[State, str]] = {
    State.QUOTING: {State.CHECKING: "Order for a quote of ours"},
    State.CHECKING: {
        State.SERVING: "channel_found",
        State.QUOTING: "channel_missing, before any service",
        State.OVER: "channel_missing, after service; had_ended",
    },
    State.SERVING: {
        State.SUSPENDED: "credit ends",
        State.CLOSING: "Close, deposit spent, channel expires",
        State.OVER: "channel closes",
    },
    State.SUSPENDED: {
        State.SERVING: "Voucher",
        State.CLOSING: "Close, deposit spent, channel expires, unpaid",
        State.OVER: "channel closes",
    },
    State.CLOSING: {State.OVER: "final Close, silence, channel closes"},
    State.OVER: {},
}
