"""Write docs/timers.md and docs/sessions.md from the tables of timers and session states.

python -m tools.state_diagram            rewrite the documents
python -m tools.state_diagram --check    exit with 1 if a document is out of date
"""

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

from fs_market.core.session import client_states, provider_states
from fs_tunnel.proto.timers import DURATIONS, JITTERED, TRANSITIONS, Action, Event, Timer

S = TypeVar("S", bound=Enum)

DOCS = Path(__file__).parent.parent / "docs"

# What ``handle_timer`` in fs_tunnel/proto/peer.py does when a timer is due.
WHEN_DUE = {
    Timer.RETRANSMIT_HANDSHAKE: "send another initiation, at most 18 times",
    Timer.SEND_KEEPALIVE: "send an empty packet",
    Timer.NEW_HANDSHAKE: "send an initiation",
    Timer.ERASE_KEYS: "erase every key of this peer",
    Timer.PERSISTENT_KEEPALIVE: "send an empty packet",
    Timer.LOOK: "ask the packet path to tell of the next packet",
}
ARROWS = {
    Action.START: "==>",
    Action.START_IF_IDLE: "-->",
    Action.START_OR_REPEAT: "-->",
    Action.STOP: "-.->",
}


def documents() -> dict[Path, str]:
    """Return the text of each document, by its path."""
    return {DOCS / "timers.md": render_timers(), DOCS / "sessions.md": render_sessions()}


def render_sessions() -> str:
    """Draw both sides of a paid session as Mermaid state diagrams."""
    return "\n".join(
        [
            "# The states of a paid session",
            "",
            "Made by `python -m tools.state_diagram` from the tables in",
            "`fs_market/core/session/client_states.py` and `provider_states.py`.",
            "",
            "## The client",
            "",
            *_states(client_states.TRANSITIONS),
            "",
            "## The provider",
            "",
            *_states(provider_states.TRANSITIONS),
            "",
        ]
    )


def _states(transitions: Mapping[S, Mapping[S, str]]) -> list[str]:
    first = next(iter(transitions))
    return [
        "```mermaid",
        "stateDiagram-v2",
        f"  [*] --> {first.value}",
        *(
            f"  {here.value} --> {there.value}: {why}"
            for here, row in transitions.items()
            for there, why in row.items()
        ),
        *(f"  {here.value} --> [*]" for here, row in transitions.items() if not row),
        "```",
    ]


def render_timers() -> str:
    """Draw a Mermaid flowchart and two tables."""
    return "\n".join(
        [
            "# A peer's timers",
            "",
            "Made by `python -m tools.state_diagram` from `fs_tunnel/proto/timers.py`.",
            "",
            "```mermaid",
            "flowchart LR",
            *(f"  {event.name}([{_words(event)}])" for event in Event),
            *(f"  {timer.name}[{_words(timer)}: {_duration(timer)}]" for timer in Timer),
            *(
                f'  {event.name} {ARROWS[action]}|"{action.value}"| {timer.name}'
                for event, row in TRANSITIONS.items()
                for timer, action in row
            ),
            "```",
            "",
            "| when this happens | the timer | does |",
            "|---|---|---|",
            *(
                f"| {_words(event)} | {_words(timer)} | {action.value} |"
                for event, row in TRANSITIONS.items()
                for timer, action in row
            ),
            "",
            "| when this timer is due | after | the peer will |",
            "|---|---|---|",
            *(f"| {_words(timer)} | {_duration(timer)} | {WHEN_DUE[timer]} |" for timer in Timer),
            "",
        ]
    )


def main() -> int:
    """Rewrite the documents, or compare them with ``--check``."""
    if "--check" not in sys.argv[1:]:
        for path, text in documents().items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in documents().items() if _read(path) != text]
    for name in stale:
        print(f"docs/{name} is stale; run python -m tools.state_diagram", file=sys.stderr)
    return 1 if stale else 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _words(name: Event | Timer) -> str:
    return name.name.lower().replace("_", " ")


def _duration(timer: Timer) -> str:
    if timer not in DURATIONS:
        return "as configured"
    jitter = " and jitter" if timer in JITTERED else ""
    return f"{DURATIONS[timer]:g} s{jitter}"


if __name__ == "__main__":
    sys.exit(main())
