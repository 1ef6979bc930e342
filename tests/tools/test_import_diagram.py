# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The diagram of imports: rooms and arrows alone, and no arrow that follows from two others."""

import pytest
from grimp import ImportGraph

from tools import import_diagram


def imports(*pairs: tuple[str, str]) -> ImportGraph:
    graph = ImportGraph()
    for name in import_diagram.PACKAGES:
        graph.add_module(name)
    for importer, imported in pairs:
        for module in (importer, imported):
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                graph.add_module(".".join(parts[:end]))
        graph.add_import(importer=importer, imported=imported)
    return graph


def test_rooms_and_packages_are_drawn_with_what_they_import() -> None:
    graph = imports(
        ("fs_tunnel.cli.up", "fs_tunnel.roles.buying"),
        ("fs_tunnel.roles.buying", "fs_net.core.index"),
        ("fs_net.core.index", "fs_wire"),
    )
    drawn = import_diagram.render(graph).splitlines()
    assert "    fs_tunnel_cli[cli] --> fs_tunnel_roles" in drawn
    assert "    fs_net_core[core]" in drawn
    assert "  fs_tunnel --> fs_net" in drawn
    assert "  fs_net --> fs_wire" in drawn
    assert "  fs_market" in drawn


def test_a_module_beside_rooms_is_no_room() -> None:
    graph = imports(("fs_tunnel.config", "fs_tunnel.ini"))
    assert "config" not in import_diagram.render(graph)


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    edges = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert import_diagram.reduced(edges) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_a_circle_has_no_diagram() -> None:
    with pytest.raises(SystemExit, match="imports itself"):
        import_diagram.reduced({"a": {"b"}, "b": {"a"}})


def test_a_diagram_replaces_the_one_before_and_nothing_else() -> None:
    text = f"before\n{import_diagram.BEGIN}old\n{import_diagram.END}after\n"
    made = import_diagram.replaced(text, "new\n")
    assert made == f"before\n{import_diagram.BEGIN}new\n{import_diagram.END}after\n"
    with pytest.raises(SystemExit, match="no place"):
        import_diagram.replaced("before\n", "new\n")
