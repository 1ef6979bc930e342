# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The states of a session on the client's side, and the table of their transitions."""

from enum import Enum


class State(Enum):
    """A state of the client's side."""

    IDLE = "idle"
    QUOTING = "quoting"
    QUOTED = "quoted"
    OPENING = "opening"
    ORDERING = "ordering"
    SERVED = "served"
    CLOSING = "closing"
    OVER = "over"


TRANSITIONS: dict[State, dict[State, str]] = {
    State.IDLE: {State.QUOTING: "connect", State.OVER: "close"},
    State.QUOTING: {State.QUOTED: "Quote within the limits", State.OVER: "Refusal, silence, close"},
    State.QUOTED: {State.OPENING: "accept", State.OVER: "close"},
    State.OPENING: {State.ORDERING: "opened", State.OVER: "close"},
    State.ORDERING: {
        State.SERVED: "PeerConfig",
        State.CLOSING: "close, after service",
        State.OVER: "Refusal, silence, close, final Close",
    },
    State.SERVED: {
        State.CLOSING: "close, Close, budget spent",
        State.OVER: "final Close, counts disagree, starved, silence",
    },
    State.CLOSING: {State.OVER: "all is paid, final Close, counts disagree, silence"},
    State.OVER: {},
}
