# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Draw which rooms import which, from the imports themselves, into ARCHITECTURE.md.

python -m tools.import_diagram            rewrite the diagram
python -m tools.import_diagram --check    exit 1 if the diagram is stale

A room is a folder directly in a package.  An arrow that follows from two others is left out.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from grimp import ImportGraph, build_graph

Edges = Mapping[str, set[str]]

REPOSITORY = Path(__file__).parent.parent
DOCUMENT = REPOSITORY / "ARCHITECTURE.md"
PACKAGES = ("fs_tunnel", "fs_market", "fs_net", "fs_wire")
BEGIN = "<!-- made by `python -m tools.import_diagram` -->\n"
END = "<!-- end of what is made -->\n"


def render(imports: ImportGraph) -> str:
    """The diagram in Mermaid: packages as boxes, their rooms inside, a line for each."""
    lines = ["```mermaid", "flowchart TD"]
    for package in PACKAGES:
        rooms = rooms_of(imports, package)
        if rooms:
            lines.append(f"  subgraph {package}")
            for room, targets in reduced(imports_among(imports, rooms)).items():
                name = room.rpartition(".")[2]
                lines.append(f"    {_box(room)}[{name}]{_arrow(map(_box, targets))}")
            lines.append("  end")
    arrows = reduced(imports_among(imports, PACKAGES))
    lines += [f"  {package}{_arrow(arrows[package])}" for package in PACKAGES]
    return "\n".join([*lines, "```", ""])


def _box(room: str) -> str:
    return room.replace(".", "_")


def _arrow(targets: Iterable[str]) -> str:
    names = " & ".join(sorted(targets))
    return f" --> {names}" if names else ""


def rooms_of(imports: ImportGraph, package: str) -> list[str]:
    """The folders of a package; a module without children is no room."""
    return sorted(child for child in imports.find_children(package) if imports.find_children(child))


def imports_among(imports: ImportGraph, places: Sequence[str]) -> dict[str, set[str]]:
    """For each place, the other places from which a module of it imports a module."""
    modules = {place: {place, *imports.find_descendants(place)} for place in places}
    imported = {
        place: {
            target
            for module in modules[place]
            for target in imports.find_modules_directly_imported_by(module)
        }
        for place in places
    }
    return {
        here: {there for there in places if there != here and imported[here] & modules[there]}
        for here in places
    }


def reduced(edges: Edges) -> dict[str, set[str]]:
    """Edges without those that follow from others; SystemExit if the edges form a circle."""
    beyond = {here: reachable(edges, edges[here]) for here in edges}
    for here in edges:
        if here in beyond[here]:
            sys.exit(f"{here} imports itself through other rooms: no diagram can show that")
    return {
        here: {each for each in edges[here] if not any(each in beyond[via] for via in edges[here])}
        for here in edges
    }


def reachable(edges: Edges, starts: set[str]) -> set[str]:
    """All that can be reached from these places, with the places themselves."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += edges[here]
    return found


def replaced(text: str, diagram: str) -> str:
    """The document with this diagram between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{DOCUMENT.name} has no place for the diagram; it begins with {BEGIN.strip()}")
    return before + begin + diagram + end + after


def graph() -> ImportGraph:
    """What each module imports."""
    return build_graph(*PACKAGES, cache_dir=None)


def main() -> int:
    """Rewrite the diagram, or with ``--check`` compare it."""
    text = DOCUMENT.read_text()
    made = replaced(text, render(graph()))
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(made)
    elif made != text:
        print("ARCHITECTURE.md: the diagram is stale; run python -m tools.import_diagram")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
