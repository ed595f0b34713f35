"""The comments of a spec, which libyaml drops. A `#` inside a text, quoted or not, is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ctc.diagnostics import Lines, Span
from ctc.value import Value, frozen

_GAP = re.compile(r"![^\s,\[\]{}]*|#[^\n\r\x85\u2028\u2029]*")
"""Between two scalars a `#` starts a comment, unless it belongs to a tag."""
_HEADER = re.compile(r"[|>][-+0-9]*[ \t]+(#[^\n\r\x85\u2028\u2029]*)")


@frozen
class Comment(Value):
    """`text` begins with its `#`; `alone` if nothing else stands on its line."""

    span: Span
    text: str
    alone: bool


def comments(text: str, file: str) -> tuple[Comment, ...]:
    """Every comment of a text that libyaml can read, in order; none of one that it cannot."""
    import yaml

    try:
        found = list(_found(text))
    except yaml.YAMLError:
        return ()
    lines = Lines(text)
    return tuple(_comment(lines, file, start, body) for start, body in found)


def _found(text: str) -> Iterator[tuple[int, str]]:
    position = 0
    for start, end in _scalars(text):
        yield from _between(text, position, start)
        header = _HEADER.match(text, start, end) if text[start : start + 1] in ("|", ">") else None
        if header is not None:
            yield header.start(1), header[1]
        position = max(position, end)
    yield from _between(text, position, len(text))


def _between(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    for match in _GAP.finditer(text, start, end):
        if match[0].startswith("#"):
            yield match.start(), match[0]


def _scalars(text: str) -> Iterator[tuple[int, int]]:
    """First and last index of each scalar; an anchor or a tag before it is left to the gap."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    while (event := loader.get_event()) is not None:
        if isinstance(event, yaml.ScalarEvent):
            marks: Any = event
            start, end = marks.start_mark.index, marks.end_mark.index
            while (properties := _PROPERTIES.match(text, start, end)) is not None:
                start = properties.end()
            yield start, end


_PROPERTIES = re.compile(r"[&!]\S*\s+")


def _comment(lines: Lines, file: str, start: int, body: str) -> Comment:
    line, column = lines.place(start)
    span = Span(file, line, column, column + len(body))
    return Comment(span, body, not lines[line][: column - 1].strip())
