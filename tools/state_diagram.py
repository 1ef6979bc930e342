"""Write docs/timers.md from the table that the timers run on.

python -m tools.state_diagram            rewrite the document
python -m tools.state_diagram --check    exit 1 where the document is stale
"""

import sys
from pathlib import Path

from fs_tunnel.proto.timers import DURATIONS, JITTERED, TRANSITIONS, Action, Event, Timer

DOCUMENT = Path(__file__).parent.parent / "docs" / "timers.md"

# What the owner of the timers does when one is due: fs_tunnel/proto/peer.py, handle_timer.
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


def render() -> str:
    """The whole document: two tables and a Mermaid flowchart."""
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
    """Rewrite the document, or with ``--check`` compare it."""
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(render())
        return 0
    if DOCUMENT.read_text() != render():
        print("docs/timers.md is stale; run python -m tools.state_diagram", file=sys.stderr)
        return 1
    return 0


def _words(name: Event | Timer) -> str:
    return name.name.lower().replace("_", " ")


def _duration(timer: Timer) -> str:
    if timer not in DURATIONS:
        return "as configured"
    jitter = " and jitter" if timer in JITTERED else ""
    return f"{DURATIONS[timer]:g} s{jitter}"


if __name__ == "__main__":
    sys.exit(main())
