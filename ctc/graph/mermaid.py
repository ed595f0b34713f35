"""A picture as Mermaid text, which GitHub, GitLab and many editors draw (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

from collections.abc import Iterator

from ctc.graph.model import Band, Edge, Graph, Kind, Node, Role
from ctc.graph.text import printable

_SHAPES = {Role.TRIGGER: ("([", "])"), Role.GATE: ("[[", "]]")}
"""Round for what starts, with double sides for what decides; all else is a box."""
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:_/()-+*=≥≤→")


def mermaid(graph: Graph) -> str:
    """The flowchart, from its first line to its last. Texts of the spec are words in it, never syntax."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield "flowchart TB"
    yield f"  accTitle: {_line(graph.title)}"
    ids = {band.name: f"band{number}" for number, band in enumerate(graph.bands)}
    ids |= {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    for band in graph.bands:
        yield from _band(band, ids)
    # Mermaid would turn the picture around for an edge that goes back; the note of the band says it.
    for edge in graph.edges:
        if edge.kind is not Kind.BACK:
            yield f"  {ids[edge.tail]} {_arrow(edge)} {ids[edge.head]}"
    yield from _class("off", "stroke-dasharray: 5 4", [ids[node.name] for node in graph.nodes if node.off])
    noted = [_note(ids[band.name]) for band in graph.bands if band.notes]
    yield from _class("note", "fill: none, stroke: none", noted)


def _class(name: str, look: str, members: list[str]) -> Iterator[str]:
    if members:
        yield f"  classDef {name} {look}"
        yield f"  class {','.join(members)} {name}"


def _note(band: str) -> str:
    return f"{band}note"


def _band(band: Band, ids: dict[str, str]) -> Iterator[str]:
    yield f'  subgraph {ids[band.name]}["{_word(band.title)}"]'
    if band.notes:
        yield f'    {_note(ids[band.name])}["{"<br>".join(map(_word, band.notes))}"]'
    for node in band.nodes:
        yield f"    {ids[node.name]}{_shaped(node)}"
    yield "  end"


def _shaped(node: Node) -> str:
    before, after = _SHAPES.get(node.role, ("[", "]"))
    return f'{before}"{"<br>".join([f"<b>{_word(node.title)}</b>", *map(_word, node.details)])}"{after}'


def _arrow(edge: Edge) -> str:
    return f'-->|"{_word(edge.label)}"|' if edge.label else "-->"


def _word(text: str) -> str:
    """Every sign that Mermaid, or the HTML that it makes, could take for its own, as the code that it has for it."""
    return "".join(
        letter if letter in _SAFE or (letter.isalpha() and ord(letter) > 127) else f"#{ord(letter)};"
        for letter in " ".join(printable(text).split())
    )


def _line(text: str) -> str:
    """As one line of text that Mermaid does not parse."""
    return "".join(letter for letter in " ".join(printable(text).split()) if letter not in "{};#")
