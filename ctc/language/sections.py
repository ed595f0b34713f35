"""The top-level sections of a spec: each with the comments above it, in the language's order, a blank line between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ctc.language.layout import Layout

_MODELINE = re.compile(r"#\s*(?:yaml-language-server:|\$schema\b|-\*-|vim?:)")
"""Comments that editors read, for which they want the top of the file."""


@dataclass(frozen=True)
class _Section:
    """`gap` says whether a blank line stands above it, `open_end` that a blank line below would become part of it."""

    name: str
    place: int
    lead: tuple[str, ...]
    body: tuple[str, ...]
    long: bool
    gap: bool
    open_end: bool


def arranged(layout: Layout, order: Sequence[str]) -> tuple[str, ...]:
    """The lines with the sections in `order` and a blank line between any two that have several lines.

    A key that `order` does not know stays behind the one that it follows. A text that is not a block map, or has
    explicit keys, stays as it is.
    """
    keys = _keys(layout)
    if not keys:
        return layout.lines
    header, sections, footer = _split(layout, keys)
    ordered = _sorted(sections, order)
    lines = list(header)
    for above, section in zip([None, *ordered], ordered, strict=False):
        if lines and _wants_gap(above, section, first=sections[0].gap):
            lines.append("")
        lines += [*section.lead, *section.body]
    if footer and footer[0] == "" and ordered[-1].open_end:
        return layout.lines
    return (*lines, *footer)


def _wants_gap(above: _Section | None, section: _Section, *, first: bool) -> bool:
    if above is None:
        return first
    if above.open_end:
        return False
    if section.place == above.place + 1:
        return section.gap or (above.long and section.long)
    return above.long or section.long or bool(section.lead)


def _sorted(sections: list[_Section], order: Sequence[str]) -> list[_Section]:
    rank = {name: place for place, name in enumerate(order)}
    ranks: list[int] = []
    for section in sections:
        ranks.append(rank.get(section.name, ranks[-1] if ranks else -1))
    return [section for _, section in sorted(zip(ranks, sections, strict=True), key=lambda item: item[0])]


@dataclass(frozen=True)
class _Key:
    """A top-level key: its name, its line, and the last line of its value."""

    name: str
    line: int
    last: int


def _keys(layout: Layout) -> list[_Key]:
    import yaml

    depth = flow = 0
    found: list[_Key] = []
    named = True
    for token in layout.tokens:
        if isinstance(token, yaml.BlockMappingStartToken | yaml.BlockSequenceStartToken):
            depth += 1
        elif isinstance(token, yaml.BlockEndToken):
            depth -= 1
        flow += isinstance(token, yaml.FlowMappingStartToken | yaml.FlowSequenceStartToken)
        flow -= isinstance(token, yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken)
        if isinstance(token, yaml.KeyToken) and depth == 1 and not flow:
            line, column = token.start_mark.line, token.start_mark.column
            if token.end_mark.column != column or layout.lines[line][:column].strip(" "):
                return []
            found.append(_Key("", line, line))
            named = False
        elif depth and found and token.start_mark.index < token.end_mark.index:
            name = found[-1].name
            if isinstance(token, yaml.ScalarToken) and not named:
                name, named = token.value, True
            found[-1] = _Key(name, found[-1].line, max(found[-1].last, layout.last_line(token)))
    return found


def _split(layout: Layout, keys: list[_Key]) -> tuple[tuple[str, ...], list[_Section], tuple[str, ...]]:
    """What stands above all sections, the sections, what stands below them."""
    starts = [_first_start(layout, keys[0].line)]
    starts += [_start(layout, above.last + 1, key.line) for above, key in pairwise(keys)]
    end = _footer(layout, keys[-1].last + 1)
    sections: list[_Section] = []
    for place, (key, start) in enumerate(zip(keys, starts, strict=True)):
        stop = starts[place + 1] if place + 1 < len(keys) else end
        body = _without_blanks(layout, key.line, stop)
        lead = _without_blanks(layout, start, key.line)
        blank = any(layout.is_blank(line) for line in (start - 1, start) if 0 <= line < key.line)
        open_end = body[1] - 1 in layout.growing
        sections.append(
            _Section(
                key.name,
                place,
                layout.lines[slice(*lead)],
                layout.lines[slice(*body)],
                key.last > key.line,
                blank,
                open_end,
            )
        )
    header = layout.lines[slice(*_without_blanks(layout, 0, starts[0]))]
    return header, sections, layout.lines[end:]


def _first_start(layout: Layout, key: int) -> int:
    """Where the comments of the first section start: below the last blank line, and below what editors read."""
    start = key
    while start and layout.comments.get(start - 1) == 0 and not _MODELINE.match(layout.lines[start - 1]):
        start -= 1
    return start


def _start(layout: Layout, first: int, key: int) -> int:
    """Where what belongs to a section starts, among the blank lines and comments between it and the one above.

    A comment that is indented, or that follows the section above without a blank line while one is below it, belongs
    to that section.
    """
    start = key
    while start > first and (layout.is_blank(start - 1) or layout.comments.get(start - 1) == 0):
        start -= 1
    blanks = [line for line in range(start, key) if layout.is_blank(line)]
    return blanks[0] if blanks else start


def _footer(layout: Layout, first: int) -> int:
    """Where the comments at the end of the file start that belong to no section: the first at the left edge."""
    lines = range(first, len(layout.lines))
    start = next(
        (line for line in lines if not layout.is_blank(line) and layout.indentation(line) == 0), len(layout.lines)
    )
    return start - 1 if start > first and layout.is_blank(start - 1) else start


def _without_blanks(layout: Layout, start: int, stop: int) -> tuple[int, int]:
    while start < stop and layout.is_blank(stop - 1):
        stop -= 1
    while start < stop and layout.is_blank(start):
        start += 1
    return start, stop
