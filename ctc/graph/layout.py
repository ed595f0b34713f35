"""Where everything of a picture stands: boxes in rows, rows in bands, bands on one column that a phone can show.

Units are those of the SVG's `viewBox`. An edge goes down from row to row; where it passes a row, it has a lane there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ctc.graph.model import Band, Edge, Graph, Kind, Node
from ctc.graph.text import BOLD, width, wrapped
from ctc.value import Value, frozen

WIDTH = 560.0
"""Of the whole picture: on a phone of 390 pixels a text of 15 units is 10 pixels high."""
MARGIN, PADDING = 12.0, 14.0
"""Around the bands, and inside of bands and boxes."""
BACK = 30.0
"""The lane at the right edge, of what goes back up; where nothing does, there is none."""
TITLE, DETAIL, LINE = 15.0, 13.0, 18.0
"""Sizes of the two fonts, and the height of a line."""
GAP, GUTTER, LANE = 12.0, 28.0, 16.0
"""Between boxes of a row, between rows, and for an edge that passes a row."""
TURN = 16.0
"""How far below a row its edges turn: below their labels, above the heads of their arrows."""
HEAD = 28.0
"""For the title of a band."""
LINES = 3
"""At most so many for one detail."""
ROOMY = 300.0
"""From this width on, the details of a box follow each other on one line."""


@frozen
class Rect(Value):
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def right(self) -> float:
        return self.x + self.width


@frozen
class Text(Value):
    """One line that starts at `x` and stands on `y`; `kind` is its look."""

    x: float
    y: float
    text: str
    kind: str

    @property
    def rect(self) -> Rect:
        bold = self.kind in ("title", "band")
        size = TITLE if bold else DETAIL
        return Rect(self.x, self.y - size * 0.8, width(self.text, size * (BOLD if bold else 1)), size)


@frozen
class Box(Value):
    node: Node
    rect: Rect
    texts: tuple[Text, ...]


@frozen
class Frame(Value):
    band: Band
    rect: Rect
    texts: tuple[Text, ...]


@frozen
class Line(Value):
    """An edge: the corners that it goes through, and its label."""

    edge: Edge
    points: tuple[tuple[float, float], ...]
    label: Text | None = None


@frozen
class Picture(Value):
    graph: Graph
    height: float
    frames: tuple[Frame, ...]
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def picture(graph: Graph) -> Picture:
    """The places of all that the graph has."""
    frames: list[Frame] = []
    boxes: dict[str, Box] = {}
    lines: list[Line] = []
    y = MARGIN
    right = WIDTH - MARGIN - (BACK if any(edge.kind is Kind.BACK for edge in graph.edges) else 0)
    for band in graph.bands:
        own = _Band(band, graph.edges, y, right)
        frames.append(own.frame)
        boxes |= own.boxes
        lines += own.lines
        y = own.frame.rect.bottom + GUTTER
    rects = {**{frame.band.name: frame.rect for frame in frames}, **{name: box.rect for name, box in boxes.items()}}
    home = {node.name: band.name for band in graph.bands for node in band.nodes} | {
        band.name: band.name for band in graph.bands
    }
    for edge in graph.edges:
        if edge.kind is Kind.BACK:
            lines.append(_back(edge, rects))
        elif home[edge.tail] != home[edge.head]:
            lines.append(_between(edge, rects[home[edge.tail]], rects[home[edge.head]]))
    return Picture(graph, y - GUTTER + MARGIN, tuple(frames), tuple(boxes.values()), tuple(lines))


class _Band:
    """One band and all that stands inside."""

    def __init__(self, band: Band, edges: Sequence[Edge], top: float, right: float) -> None:
        self.band = band
        self.left, self.room = MARGIN + PADDING, right - MARGIN - 2 * PADDING
        inside = {node.name for node in band.nodes}
        self.edges = [edge for edge in edges if edge.tail in inside and edge.head in inside]
        self.row_of = {node.name: number for number, row in enumerate(band.rows) for node in row}
        self.boxes: dict[str, Box] = {}
        self.lanes: dict[tuple[Edge, int], float] = {}
        self.tops: list[float] = []
        self.bottoms: list[float] = []
        notes = [line for note in band.notes for line in wrapped(note, self.room, DETAIL, LINES)]
        titled = wrapped(band.title, self.room, TITLE * BOLD, 1)
        head = [Text(self.left, top + 19, line, "band") for line in titled]
        head += [Text(self.left, top + HEAD + 10 + LINE * number, line, "note") for number, line in enumerate(notes)]
        y = top + HEAD + LINE * len(notes) + (6 if notes else 0)
        for number, row in enumerate(band.rows):
            # Where no edge comes between two rows, they stand closer.
            if number:
                y += GUTTER if self.edges else GAP
            y = self._place(number, row, y)
        self.frame = Frame(band, Rect(MARGIN, top, right - MARGIN, y + PADDING - top), tuple(head))
        self.lines = [self._line(edge) for edge in self._labelled_once()]

    def _place(self, number: int, row: tuple[Node, ...], y: float) -> float:
        """Places a row; its lowest edge."""
        passing = [edge for edge in self.edges if self.row_of[edge.tail] < number < self.row_of[edge.head]]
        share = (self.room - LANE * len(passing) - GAP * (len(row) + len(passing) - 1)) / len(row)
        sized = [self._sized(node, min(share, self.room)) for node in row]
        height = max(item[0] for item in sized)
        x = self.left
        for node, (_, lines) in zip(row, sized, strict=True):
            rect = Rect(x, y, share, height)
            texts = (Text(x + PADDING, y + 5 + LINE * at, text, kind) for at, (text, kind) in enumerate(lines, 1))
            self.boxes[node.name] = Box(node, rect, tuple(texts))
            x += share + GAP
        for edge in passing:
            self.lanes[edge, number] = x + LANE / 2
            x += LANE + GAP
        self.tops.append(y)
        self.bottoms.append(y + height)
        return y + height

    def _sized(self, node: Node, share: float) -> tuple[float, list[tuple[str, str]]]:
        room = share - 2 * PADDING
        lines = [(line, "title") for line in wrapped(node.title, room, TITLE * BOLD, LINES)]
        details = ("; ".join(node.details),) if share >= ROOMY else node.details
        most = LINES * (len(node.details) if share >= ROOMY else 1)
        lines += [(line, "detail") for text in details for line in wrapped(text, room, DETAIL, most)]
        return LINE * len(lines) + 16, lines

    def _labelled_once(self) -> list[Edge]:
        """The edges; of those that leave one node under one condition, only the first says it."""
        said: set[tuple[str, str]] = set()
        found = []
        for edge in self.edges:
            known = (edge.tail, edge.label) in said
            said.add((edge.tail, edge.label))
            found.append(Edge(edge.tail, edge.head, edge.kind) if known else edge)
        return found

    def _line(self, edge: Edge) -> Line:
        start, end = self.row_of[edge.tail], self.row_of[edge.head]
        tail, head = self.boxes[edge.tail].rect, self.boxes[edge.head].rect
        lanes = {number: x for (other, number), x in self.lanes.items() if _same(other, edge)}
        stops = [tail.middle, *(lanes[number] for number in range(start + 1, end)), head.middle]
        points = [(tail.middle, tail.bottom)]
        for number, (here, there) in zip(range(start, end), pairwise(stops), strict=True):
            turn = self.bottoms[number] + TURN
            if here != there:
                points += [(here, turn), (there, turn)]
        points.append((head.middle, head.y))
        label = Text(tail.middle + 7, tail.bottom + 12, edge.label, "label") if edge.label else None
        return Line(edge, tuple(points), label)


def _same(one: Edge, other: Edge) -> bool:
    return (one.tail, one.head) == (other.tail, other.head)


def _between(edge: Edge, tail: Rect, head: Rect) -> Line:
    """From a band to the next one."""
    label = Text(tail.middle + 7, tail.bottom + GUTTER / 2 + 4, edge.label, "label") if edge.label else None
    return Line(edge, ((tail.middle, tail.bottom), (tail.middle, head.y)), label)


def _back(edge: Edge, rects: Mapping[str, Rect]) -> Line:
    """Up along the right edge. What it is, the band says from which it comes."""
    tail, head = rects[edge.tail], rects[edge.head]
    x = tail.right + BACK / 2
    low, high = tail.y + tail.height / 2, head.y + HEAD / 2
    return Line(edge, ((tail.right, low), (x, low), (x, high), (head.right, high)))
