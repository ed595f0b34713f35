"""Findings for people: the sentence, the line with carets, the second place, what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctc.diagnostics import Diagnostic, Label, Severity, Span
from ctc.report.secrets import Masked, hidden_sources

WIDTH = 140
"""Columns of a source line that are shown; a longer line is cut around its span."""
DOCS = "ctc explain"

_COLORS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}


def render(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], color: bool, explained: set[str] | None = None
) -> str:
    """One block a finding, with a blank line between. `sources` holds the text of each file by its name.

    With `explained`, the codes whose explanation was already pointed to, each new code points to its own, once.
    """
    painter = _Painter(color)
    files = hidden_sources(sources, diagnostics)
    blocks = []
    for item in diagnostics:
        new = explained is not None and item.code not in explained
        if explained is not None:
            explained.add(item.code)
        blocks.append(_block(item, files, painter, new) + "\n")
    return "".join(blocks)


class _Painter:
    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color else text


def _block(item: Diagnostic, files: Mapping[str, Masked], paint: _Painter, explain: bool) -> str:
    source = files.get(item.where, _NONE)
    head = paint(f"{item.severity}[{item.code}]", f"1;{_COLORS[item.severity]}")
    lines = [f"{head}{paint(': ' + source.text(_printable(item.message)), '1')}"]
    margin = " "
    if item.span is not None:
        margin, framed = _placed(item, item.span, files, paint)
        lines += framed
    if item.help:
        lines.append(f"{margin} {paint('=', '34')} help: {source.text(_printable(item.help))}")
    if explain:
        lines.append(f"{margin} {paint('=', '34')} docs: {DOCS} {item.code}")
    return "\n".join(lines) + "\n"


_NONE = Masked((), frozenset())


def _placed(item: Diagnostic, span: Span, files: Mapping[str, Masked], paint: _Painter) -> tuple[str, list[str]]:
    places = [Label(span, "")]
    label = item.label
    if label is not None and label.span.file == span.file:
        places = sorted([*places, label], key=lambda place: (place.span.line, place.span.column, place.text))
    margin = " " * len(str(max(place.span.last_line for place in places)))
    lines = [f"{margin}{paint('-->', '34')} {_printable(span.file)}:{span.line}:{span.column}"]
    lines += _frame(places, files.get(span.file, _NONE).lines, margin, paint, _COLORS[item.severity])
    if label is not None and label.span.file != span.file:
        where = f"{_printable(label.span.file)}:{label.span.line}:{label.span.column}"
        lines.append(f"{margin} {paint('=', '34')} {where}: {_printable(label.text)}")
    return margin, lines


@dataclass(frozen=True)
class _Mark:
    """The part of a place on one line: columns from 0, the end exclusive."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


def _marks(place: Label, text: Sequence[str]) -> list[_Mark]:
    span, primary = place.span, not place.text
    if span.last_line == span.line:
        return [_Mark(span.line, span.column - 1, max(span.end_column - 1, span.column), place.text, primary)]
    first, last = text[span.line - 1], text[span.last_line - 1]
    indent = len(last) - len(last.lstrip())
    return [
        _Mark(span.line, span.column - 1, max(len(first.rstrip()), span.column), "", primary),
        _Mark(span.last_line, indent, max(span.end_column - 1, indent + 1), place.text, primary),
    ]


def _frame(places: Sequence[Label], text: Sequence[str], margin: str, paint: _Painter, color: str) -> list[str]:
    if any(place.span.last_line > len(text) for place in places):
        return []
    marks = [mark for place in places for mark in _marks(place, text)]
    bar = paint("|", "34")
    lines = [f"{margin} {bar}"]
    previous = None
    for number in sorted({mark.line for mark in marks}):
        if previous is not None and number > previous + 1:
            lines.append(paint("...", "34"))
        here = [mark for mark in marks if mark.line == number]
        window = _Window(text[number - 1], next((mark for mark in here if mark.primary), here[0]).start)
        lines.append(f"{paint(str(number).rjust(len(margin)), '34')} {bar} {window.shown}".rstrip())
        for mark in here:
            before, width = window.columns(mark)
            if width:
                carets = paint(("^" if mark.primary else "-") * width, color if mark.primary else "34")
                lines.append(f"{margin} {bar} {' ' * before}{carets} {_printable(mark.text)}".rstrip())
        previous = number
    return lines


class _Window:
    """The part of a line that is shown around a place."""

    def __init__(self, line: str, center: int) -> None:
        line = _printable(line)
        self.first, self.end = 0, len(line)
        if _width(line) > WIDTH:
            half = WIDTH // (2 if _width(line) > len(line) else 1)
            self.first = max(0, min(center - half // 3, len(line) - half))
            self.end = min(len(line), self.first + half)
        part = line[self.first : self.end]
        if self.first:
            part = "…" + part[1:]
        if self.end < len(line):
            part = part[:-1] + "…"
        self.shown = part

    def columns(self, mark: _Mark) -> tuple[int, int]:
        """Columns on the screen before a mark, and of the mark; none if it lies outside."""
        start = max(mark.start, self.first)
        end = min(mark.end, self.end)
        if mark.start >= self.end + 1 or mark.end <= self.first:
            return 0, 0
        shown = self.shown[start - self.first : end - self.first]
        return _width(self.shown[: start - self.first]), max(1, _width(shown))


def _width(text: str) -> int:
    """Columns on a terminal: two for a wide character, none for one that combines with the one before."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _printable(line: str) -> str:
    """The line, of the same length, without what would move or recolour a terminal's cursor."""
    return "".join(character if character.isprintable() else " " if character == "\t" else "?" for character in line)
