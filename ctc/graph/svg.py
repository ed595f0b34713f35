"""A picture as one SVG that needs nothing else: no script, no font, no address; light and dark as its reader is."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from ctc.graph.layout import DETAIL, TITLE, WIDTH, Box, Frame, Line, Picture, Rect, Text, picture
from ctc.graph.model import Graph, Kind
from ctc.graph.text import printable

_STYLE = f"""
.ctc-graph {{ --ground: #ffffff; --panel: #f6f7f9; --ink: #1b1f24; --soft: #59636e; --line: #b9c0c8; --way: #59636e;
  --trigger: #8a5a00; --ours: #0b5cad; --users: #17693a; --gate: #b4530a; --rollout: #6a3fb5; --serving: #0f6b78; }}
@media (prefers-color-scheme: dark) {{
  .ctc-graph {{ --ground: #14171b; --panel: #1c2026; --ink: #e6e9ed; --soft: #a0a9b4; --line: #4a525c; --way: #a0a9b4;
    --trigger: #e9c46a; --ours: #6cb0f5; --users: #7fd6a0; --gate: #f2a25c; --rollout: #b99cf2; --serving: #6cc8d6; }}
}}
.ctc-graph {{ font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }}
.ctc-graph .ground {{ fill: var(--ground); }}
.ctc-graph .frame {{ fill: var(--panel); stroke: var(--line); }}
.ctc-graph .box {{ fill: var(--ground); stroke: var(--line); }}
.ctc-graph .off .box {{ stroke-dasharray: 5 4; }}
.ctc-graph .off text {{ opacity: .7; }}
.ctc-graph text {{ font-size: {DETAIL:g}px; font-weight: 400; fill: var(--soft); }}
.ctc-graph text.title, .ctc-graph text.band {{ font-size: {TITLE:g}px; font-weight: 600; fill: var(--ink); }}
.ctc-graph text.label {{ fill: var(--ink); font-style: italic; }}
.ctc-graph .way {{ fill: none; stroke: var(--way); stroke-width: 1.5; }}
.ctc-graph .back {{ stroke-dasharray: 6 4; }}
.ctc-graph .tip {{ fill: var(--way); }}
"""

_ROLES = "".join(
    f".ctc-graph .{role} .mark {{ fill: var(--{role}); }}\n"
    for role in ("trigger", "ours", "users", "gate", "rollout", "serving")
)
_CORNER = 6
_TIP = 5.0


def svg(graph: Graph) -> str:
    """The drawing, as an SVG document of its own or as a part of an HTML page: both read it the same."""
    drawn = picture(graph)
    return "\n".join((*_head(drawn), *_body(drawn), "</svg>\n"))


def _head(drawn: Picture) -> Iterator[str]:
    height = _n(drawn.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ctc-graph" viewBox="0 0 {_n(WIDTH)} {height}" '
        f'width="{_n(WIDTH)}" height="{height}" style="max-width: 100%; height: auto" role="img" '
        'aria-labelledby="ctc-graph-title ctc-graph-about">'
    )
    yield f'<title id="ctc-graph-title">{escape(printable(drawn.graph.title))}: continuous training</title>'
    yield f'<desc id="ctc-graph-about">{escape(printable(drawn.graph.about or _said(drawn.graph)))}</desc>'
    yield f"<style>{_STYLE}{_ROLES}</style>"
    yield f'<rect class="ground" width="{_n(WIDTH)}" height="{height}"/>'


def _said(graph: Graph) -> str:
    return "; ".join(f"{band.title}: {', '.join(node.title for node in band.nodes)}" for band in graph.bands)


def _body(drawn: Picture) -> Iterator[str]:
    for frame in drawn.frames:
        yield from _frame(frame)
    for line in drawn.lines:
        yield from _line(line)
    for box in drawn.boxes:
        yield from _box(box)
    for line in drawn.lines:
        if line.label is not None:
            yield _text(line.label)


def _frame(frame: Frame) -> Iterator[str]:
    yield f'<rect class="frame" {_placed(frame.rect)} rx="{_CORNER + 2}"/>'
    yield from map(_text, frame.texts)


def _box(box: Box) -> Iterator[str]:
    rect = box.rect
    yield f'<g class="{box.node.role}{" off" if box.node.off else ""}">'
    yield f'<rect class="box" {_placed(rect)} rx="{_CORNER}"/>'
    yield f'<rect class="mark" {_placed(Rect(rect.x, rect.y, 5, rect.height))} rx="2"/>'
    yield from map(_text, box.texts)
    yield "</g>"


def _line(line: Line) -> Iterator[str]:
    (x, y), *rest = line.points
    way = f"M{_n(x)},{_n(y)}" + "".join(f"L{_n(x)},{_n(y)}" for x, y in rest)
    yield f'<path class="way{" back" if line.edge.kind is Kind.BACK else ""}" d="{way}"/>'
    yield f'<path class="tip" d="{_tip(line.points[-2], line.points[-1])}"/>'


def _tip(before: tuple[float, float], end: tuple[float, float]) -> str:
    """An arrow's head, which points down or, of what goes back, to the left."""
    (x, y), side = end, _TIP
    if before[1] == end[1]:
        return f"M{_n(x)},{_n(y)}l{_n(side * 1.6)},{_n(-side)}v{_n(2 * side)}z"
    return f"M{_n(x)},{_n(y)}l{_n(-side)},{_n(-side * 1.6)}h{_n(2 * side)}z"


def _text(text: Text) -> str:
    return f'<text class="{text.kind}" x="{_n(text.x)}" y="{_n(text.y)}">{escape(text.text)}</text>'


def _placed(rect: Rect) -> str:
    return f'x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}"'


def _n(value: float) -> str:
    """A number with at most one digit after its point: the same text on every machine."""
    return f"{value:.1f}".removesuffix(".0")
