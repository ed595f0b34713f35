"""Diagnostics as text with source frames, and as JSON. Colour only when asked; what looks secret is never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ctc.diagnostics import Diagnostic, Label, Severity, Span

WIDTH = 140
"""Columns of a source line that are shown; a longer line is cut around its span."""

_SECRET = re.compile(
    r"""(?ix)
    (?: AKIA[0-9A-Z]{16} | gh[pousr]_[0-9A-Za-z]{20,} | xox[abprs]-[0-9A-Za-z-]{10,} | hooks\.slack\.com/[^\s"',}\]]+ )
    | (?<=://)[^\s/"'@]+:[^\s/"'@]+(?=@)
    | (?<=\bbearer\s)[^\s"',}\]]+
    | (?: (?: password | passwd | secret | token | api_?key | access_?key | credential s? | webhook )
          [\w-]* ["']? \s* [:=] \s* ["']? ) (?P<value> [^\s"',{}\[\]]+ )
    """
)
_COLORS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.NOTE: "36"}


def render(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], color: bool) -> str:
    """One block a finding, with a blank line between. `sources` holds the text of each file by its name."""
    painter = _Painter(color)
    lines = {file: text.removeprefix("\ufeff").splitlines() for file, text in sources.items()}
    return "".join(_block(item, lines, painter) + "\n" for item in diagnostics)


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """A stable document: `version`, and `diagnostics` with code, severity, message, path, place, related and help."""
    items = [_as_data(item) for item in diagnostics]
    return json.dumps({"version": 1, "diagnostics": items}, indent=2, ensure_ascii=False) + "\n"


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`, or an empty text if there is none of either."""
    counts = [(sum(item.severity is kind for item in diagnostics), str(kind)) for kind in Severity]
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)


class _Painter:
    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color else text


def _block(item: Diagnostic, files: Mapping[str, Sequence[str]], paint: _Painter) -> str:
    head = paint(f"{item.severity}[{item.code}]", f"1;{_COLORS[item.severity]}")
    lines = [f"{head}{paint(': ' + masked(_printable(item.message)), '1')}"]
    margin = " "
    if item.span is not None:
        places = [Label(item.span, "")]
        label = item.label
        if label is not None and label.span.file == item.span.file:
            places = sorted([*places, label], key=lambda place: place.span)
        margin = " " * len(str(max(place.span.line for place in places)))
        span = item.span
        lines.append(f"{margin}{paint('-->', '34')} {span.file}:{span.line}:{span.column}")
        lines += _frame(item, places, files.get(span.file, ()), margin, paint)
        if label is not None and label.span.file != span.file:
            where = f"{label.span.file}:{label.span.line}:{label.span.column}"
            lines.append(f"{margin} {paint('=', '34')} {where}: {label.text}")
    if item.help:
        lines.append(f"{margin} {paint('=', '34')} help: {masked(item.help)}")
    return "\n".join(lines) + "\n"


def _frame(item: Diagnostic, places: Sequence[Label], text: Sequence[str], margin: str, paint: _Painter) -> list[str]:
    if any(place.span.line > len(text) for place in places):
        return []
    bar = paint("|", "34")
    lines = [f"{margin} {bar}"]
    previous = None
    for place in places:
        span, primary = place.span, place.span == item.span and not place.text
        shown, start = _cut(masked(_printable(text[span.line - 1])), span)
        if previous is not None and span.line > previous + 1:
            lines.append(paint("...", "34"))
        if previous != span.line:
            lines.append(f"{paint(str(span.line).rjust(len(margin)), '34')} {bar} {shown}".rstrip())
        length = max(1, min(span.end_column, span.column + len(shown) - start) - span.column)
        marks = paint(("^" if primary else "-") * length, _COLORS[item.severity] if primary else "34")
        lines.append(f"{margin} {bar} {' ' * start}{marks} {place.text}".rstrip())
        previous = span.line
    return lines


def _printable(line: str) -> str:
    """The line, of the same length, without what would move or recolour a terminal's cursor."""
    return "".join(character if character.isprintable() else " " if character == "\t" else "?" for character in line)


def _cut(line: str, span: Span) -> tuple[str, int]:
    """The part of a line that is shown, and where in it the span starts."""
    start = span.column - 1
    if len(line) <= WIDTH:
        return line, start
    first = max(0, min(start - WIDTH // 3, len(line) - WIDTH))
    end = first + WIDTH
    shown = ("…" + line[first + 1 : end]) if first else line[:end]
    return (shown[:-1] + "…") if end < len(line) else shown, start - first


def masked(text: str) -> str:
    """The text, of the same length, with stars where something looks like a secret."""

    def stars(match: re.Match[str]) -> str:
        if match["value"] is None:
            return "*" * len(match[0])
        return match[0][: -len(match["value"])] + "*" * len(match["value"])

    return _SECRET.sub(stars, text)


def _as_data(item: Diagnostic) -> dict[str, Any]:
    return {
        "code": item.code,
        "severity": str(item.severity),
        "message": masked(item.message),
        "path": item.path,
        **_place(item.span),
        "related": [] if item.label is None else [{**_place(item.label.span), "text": item.label.text}],
        "help": masked(item.help),
    }


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {"file": None, "line": None, "column": None, "end_column": None}
    return {"file": span.file, "line": span.line, "column": span.column, "end_column": span.end_column}
