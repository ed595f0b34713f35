"""The picture of a spec: nothing overlaps, every word fits, no word of a spec is anything but a word."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import require_tool
from hypothesis import given, settings
from hypothesis import strategies as st

from ctc.graph.layout import MARGIN, WIDTH, Picture, Rect, picture
from ctc.graph.mermaid import mermaid
from ctc.graph.model import Band, Edge, Graph, Kind, Node, Role
from ctc.graph.svg import svg
from ctc.graph.system import graph_of
from ctc.graph.text import width, wrapped
from ctc.language.load import load_each
from ctc.language.spec import Spec

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = [*sorted((ROOT / "specs").glob("*.yaml")), ROOT / "examples" / "flight-delay" / "ctc.yaml"]


def specs() -> Iterator[tuple[str, Spec]]:
    for file in FILES:
        for loaded in load_each(file)[0]:
            assert loaded.spec is not None, file
            yield f"{file.stem}-{loaded.spec.environment}-{loaded.spec.row}", loaded.spec


SPECS = dict(specs())
GRAPHS = {name: graph_of(spec) for name, spec in SPECS.items()}

WORDS = st.text(max_size=60)
HOSTILE = (
    '"]; click n0 "javascript:alert(1)"',
    "<script>alert(1)</script>",
    "`**bold**`",
    "end\nsubgraph x",
    "&#x3c;img src=x onerror=alert(1)&#x3e;",
    "#quot;",
    "]]>",
    "%%{init: {}}%%",
    "\u202eright to left",
    "表が広い" * 9,
    "one_very_long_name_without_any_end" * 4,
)


def touches(one: Rect, other: Rect) -> bool:
    return one.x < other.right and other.x < one.right and one.y < other.bottom and other.y < one.bottom


def inside(one: Rect, other: Rect) -> bool:
    return one.x >= other.x and one.right <= other.right and one.y >= other.y and one.bottom <= other.bottom


def stretch(start: tuple[float, float], end: tuple[float, float]) -> Rect:
    """A stretch of a line, without its ends, which touch what it joins."""
    (x, y), (to_x, to_y) = start, end
    low, left = min(y, to_y), min(x, to_x)
    return Rect(left - 0.5, low + 0.1, abs(to_x - x) + 1, max(abs(to_y - y) - 0.2, 0.5))


def check_places(drawn: Picture) -> None:
    whole = Rect(0, 0, WIDTH, drawn.height)
    boxes = [box.rect for box in drawn.boxes]
    frames = {frame.band.name: frame for frame in drawn.frames}
    assert all(inside(frame.rect, whole) for frame in drawn.frames)
    assert not any(touches(one.rect, other.rect) for one, other in combinations(drawn.frames, 2))
    assert not any(touches(one, other) for one, other in combinations(boxes, 2))
    for band in drawn.graph.bands:
        for node in band.nodes:
            [box] = [box for box in drawn.boxes if box.node is node]
            assert inside(box.rect, frames[band.name].rect)
            assert all(inside(text.rect, box.rect) for text in box.texts), node.title
    texts = [text.rect for frame in drawn.frames for text in frame.texts]
    assert not any(touches(text, box) for text in texts for box in boxes)
    labels = [line.label.rect for line in drawn.lines if line.label is not None]
    assert not any(touches(label, box) for label in labels for box in boxes)
    assert all(inside(label, whole) for label in labels)
    for line in drawn.lines:
        assert all(0 < x < WIDTH and MARGIN <= y <= drawn.height for x, y in line.points)
        for start, end in pairwise(line.points):
            assert start[0] == end[0] or start[1] == end[1]
            here = stretch(start, end)
            assert not any(touches(here, box) for box in boxes), line.edge
            assert not any(touches(here, text) for text in (*texts, *labels)), line.edge


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_stands_on_anything_else(name: str) -> None:
    check_places(picture(GRAPHS[name]))


@pytest.mark.parametrize("name", GRAPHS)
def test_every_step_trigger_gate_and_server_is_there(name: str) -> None:
    spec, graph = SPECS[name], GRAPHS[name]
    said = " ".join((node.title + " " + " ".join(node.details)) for node in graph.nodes)

    assert all(trigger.name in said for trigger in spec.triggers)
    assert all(gate.name in said for gate in spec.promotion.gates[:6])
    assert all(entry.name in said for entry in spec.serving)
    assert {"snapshot", "validate", "train", "evaluate", "decide", "register", "record"} <= {
        n.name for n in graph.nodes
    }
    joined = {end for edge in graph.edges for end in (edge.tail, edge.head)}
    assert all(node.name in joined for band in graph.bands for node in band.nodes if node.role is Role.OURS)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Any rows of any words, with edges from row to row or past some."""
    text = st.one_of(st.sampled_from(HOSTILE), WORDS)
    rows = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    names = [[f"n{row}-{place}" for place in range(count)] for row, count in enumerate(rows)]
    details = st.lists(text, max_size=3).map(tuple)
    band = Band(
        "one",
        draw(text),
        tuple(
            tuple(
                Node(name, draw(text), draw(st.sampled_from(Role)), draw(details), draw(st.booleans())) for name in row
            )
            for row in names
        ),
        draw(details),
    )
    flat = [(row, name) for row, line in enumerate(names) for name in line]
    pairs = [(tail, head) for (low, tail), (high, head) in combinations(flat, 2) if low < high]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=4)) if pairs else []
    back = [Edge("one", "one", Kind.BACK, "back")] if draw(st.booleans()) else []
    return Graph(draw(text), draw(text), (band,), (*(Edge(tail, head) for tail, head in edges), *back))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_words_stay_words(graph: Graph) -> None:
    root = ElementTree.fromstring(svg(graph))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "path", "g", "text"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or name.endswith("href") for name in names)
    for box in picture(graph).boxes:
        assert all(inside(text.rect, box.rect) for text in box.texts)
    check_mermaid(mermaid(graph), graph)


LINES = (
    r"flowchart TB",
    r"  accTitle: [^{};#\n]*",
    r'  subgraph band\d+\["(?P<a>[^"<>`\[\]{}]*)"\]',
    r'    band\d+note\["(?P<b>(?:[^"<>`\[\]{}]|<br>)*)"\]',
    r'    n\d+(?:\(\[|\[\[|\[)"<b>(?P<c>(?:[^"<>`\[\]{}]|</b>|<br>)*)"(?:\]\)|\]\]|\])',
    r"  end",
    r'  (?:n|band)\d+ -->(?:\|"[^"<>`\[\]{}]*"\|)? (?:n|band)\d+',
    r"  classDef (?:off stroke-dasharray: 5 4|note fill: none, stroke: none)",
    r"  class [\w,]+ (?:off|note)",
)


def check_mermaid(text: str, graph: Graph) -> None:
    lines = text.splitlines()
    assert text.endswith("\n")
    assert all(any(re.fullmatch(form, line) for form in LINES) for line in lines), lines
    declared = re.findall(r"^    (n\d+)", text, re.MULTILINE)
    assert len(declared) == len(set(declared)) == len(list(graph.nodes))
    ends = {end for line in lines if " -->" in line for end in re.findall(r"\b(?:n|band)\d+\b", line)}
    assert ends <= {*declared, *re.findall(r"subgraph (band\d+)", text)}
    assert lines.count("  end") == len(graph.bands)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_mermaid_text_is_a_flowchart(name: str) -> None:
    check_mermaid(mermaid(GRAPHS[name]), GRAPHS[name])


def test_a_word_of_mermaid_reads_back_as_it_was() -> None:
    text = HOSTILE[0]
    graph = Graph("t", "", (Band("b", "B", ((Node("n", text, Role.OURS),),)),), ())

    [said] = re.findall(r"<b>(.*?)</b>", mermaid(graph))
    assert html.unescape(re.sub(r"#(\d+);", r"&#\1;", said)) == text


@given(WORDS, st.floats(60, 500), st.integers(1, 4))
def test_wrapped_lines_fit_and_lose_nothing_but_at_an_ellipsis(text: str, room: float, most: int) -> None:
    lines = wrapped(text, room, 13, most)

    assert len(lines) <= most
    assert all(width(line, 13) <= room for line in lines)
    if not (lines and lines[-1].endswith("…")):
        assert "".join("".join(lines).split()) == "".join(
            letter for letter in "".join(text.split()) if letter in "".join(lines)
        )


def test_a_browser_sees_every_word_inside_its_box(tmp_path: Path) -> None:
    """What the widths of `text.py` promise, measured with the fonts that are here."""
    browser = require_tool("chromium")
    script = """
      const out = [];
      for (const g of document.querySelectorAll('svg g')) {
        const box = g.querySelector('.box').getBBox();
        for (const text of g.querySelectorAll('text')) {
          const t = text.getBBox();
          const right = t.x + t.width > box.x + box.width, low = t.y + t.height > box.y + box.height;
          if (right || low || t.y < box.y) out.push(text.textContent);
        }
      }
      document.title = JSON.stringify(out);
    """
    drawn = "\n".join(svg(graph) for graph in GRAPHS.values())
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{drawn}<script>{script}</script>", encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")

    done = subprocess.run([browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)

    [title] = re.findall(r"<title>(\[.*?\])</title>", done.stdout)
    assert json.loads(html.unescape(title)) == []
