"""Two spaces for each level of block maps and lists; what is inside a scalar or a flow collection moves along.

The text around what moves is not touched, so a comment that follows a value keeps its column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ctc.language.layout import Layout

STEP = 2


def reindented(layout: Layout) -> tuple[str, ...] | None:
    """The lines at their canonical indentation; None for a text with explicit keys (`? key`): nothing moves there."""
    walk = _Walk(layout)
    try:
        for token in layout.tokens:
            walk.take(token)
    except _Unusual:
        return None
    return tuple(walk.line(number) for number in range(len(layout.lines)))


class _Unusual(Exception):
    """YAML that nobody writes in a spec."""


@dataclass(frozen=True)
class _Level:
    """The column of a block's keys or dashes, as it is and as it is to be."""

    old: int
    new: int

    @property
    def shift(self) -> int:
        return self.new - self.old


@dataclass
class _Walk:
    layout: Layout
    stack: list[_Level] = field(default_factory=list)
    owner: _Level | None = None
    """The level of the key or dash that the next node belongs to."""
    owner_line: int = -1
    owner_is_dash: bool = False
    flow: int = 0
    shifts: dict[int, int] = field(default_factory=dict)
    around: dict[int, tuple[_Level, ...]] = field(default_factory=dict)
    """The levels that are open at the lines that start a key or an item."""

    def take(self, token: Any) -> None:
        import yaml

        if isinstance(token, yaml.BlockMappingStartToken | yaml.BlockSequenceStartToken):
            self._open(token)
        elif isinstance(token, yaml.BlockEndToken):
            self.stack.pop()
        elif isinstance(token, yaml.FlowMappingStartToken | yaml.FlowSequenceStartToken):
            self._content(token)
            self.flow += 1
        elif isinstance(token, yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken):
            self._content(token)
            self.flow -= 1
        elif isinstance(token, yaml.KeyToken) and not self.flow:
            if token.start_mark.column != token.end_mark.column:
                raise _Unusual
            self._entry(token, dash=False)
        elif isinstance(token, yaml.BlockEntryToken):
            self._entry(token, dash=True)
        else:
            self._content(token)

    def line(self, number: int) -> str:
        """One line, moved."""
        layout, text = self.layout, self.layout.lines[number]
        if layout.is_blank(number) or not text:
            return text
        shift = self._of_comment(number) if layout.is_comment(number) else self.shifts.get(number, 0)
        column = layout.indentation(number)
        # A line of a scalar may have fewer blanks than its first.
        moved = " " * max(0, column + shift) + text[column:]
        if shift == 0 or number not in layout.comments or layout.is_comment(number):
            return moved
        return layout.with_content(number, moved[: len(moved) - len(text) + len(layout.content(number))])

    def _open(self, token: Any) -> None:
        column = token.start_mark.column
        if self._starts_line(token):
            new = 0 if self.owner is None else self.owner.new + STEP
        elif self.owner is not None and self.owner_is_dash and self.owner_line == token.start_mark.line:
            new = column + self.owner.shift
        else:
            raise _Unusual
        self.stack.append(_Level(column, new))

    def _entry(self, token: Any, *, dash: bool) -> None:
        if not self.stack or self.stack[-1].old != token.start_mark.column:
            raise _Unusual
        line = token.start_mark.line
        self.owner, self.owner_line, self.owner_is_dash = self.stack[-1], line, dash
        if self._starts_line(token):
            self.shifts[line] = self.owner.shift
            self.around[line] = tuple(self.stack)

    def _content(self, token: Any) -> None:
        import yaml

        if isinstance(token, yaml.ValueToken) and not self.flow and self._starts_line(token):
            raise _Unusual
        if self.owner is not None:
            for line in range(token.start_mark.line, self.layout.last_line(token) + 1):
                self.shifts.setdefault(line, self.owner.shift)

    def _starts_line(self, token: Any) -> bool:
        line, column = token.start_mark.line, token.start_mark.column
        return line not in self.layout.inside and not self.layout.lines[line][:column].strip(" ")

    def _of_comment(self, number: int) -> int:
        """A comment moves with what it is aligned to: the line below, else a level that is open above, else the line
        above. One at the left edge stays there."""
        column = self.layout.comments[number]
        if column == 0:
            return 0
        above = next((line for line in range(number - 1, -1, -1) if line in self.shifts), None)
        below = next((line for line in range(number + 1, len(self.layout.lines)) if line in self.shifts), None)
        if below is not None and self.layout.indentation(below) == column:
            return self.shifts[below]
        if above is None:
            return 0
        opened = next((line for line in range(above, -1, -1) if line in self.around), above)
        levels = [level.shift for level in self.around.get(opened, ()) if level.old == column]
        return levels[-1] if levels else self.shifts[above]
