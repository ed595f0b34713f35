"""What stands on each line of a spec's text: tokens, comments, and the lines that belong to a scalar.

For whoever edits the text in place. The text must be YAML that `source.parse` takes, its lines ended by `\\n` alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_HEADER = re.compile(r"[|>][-+0-9]*")


@dataclass(frozen=True)
class Layout:
    """Lines count from 0, columns too.

    `inside` are the lines that begin within a scalar, `kept` those whose end is within one: the blanks there may be
    data. `growing` are the last lines of scalars that take any blank line after them for their own (`|+`). `comments`
    holds the column of each line's comment.
    """

    lines: tuple[str, ...]
    tokens: tuple[Any, ...]
    inside: frozenset[int]
    kept: frozenset[int]
    growing: frozenset[int]
    comments: dict[int, int]

    def is_blank(self, line: int) -> bool:
        return line not in self.inside and not self.lines[line].strip(" \t")

    def is_comment(self, line: int) -> bool:
        """Whether nothing but a comment stands on the line."""
        return line in self.comments and not self.lines[line][: self.comments[line]].strip(" \t")

    def indentation(self, line: int) -> int:
        return len(self.lines[line]) - len(self.lines[line].lstrip(" "))

    def last_line(self, token: Any) -> int:
        """The last line that holds something of a token."""
        if not _is_block(token):
            return int(token.end_mark.line)
        first, end = token.start_mark.line, token.end_mark.line
        return max((line for line in range(first + 1, end + 1) if line in self.inside), default=int(first))

    def content(self, line: int) -> str:
        """The line without its comment and the blanks before that."""
        column = self.comments.get(line)
        return self.lines[line] if column is None else self.lines[line][:column].rstrip(" \t")

    def with_content(self, line: int, content: str) -> str:
        """The line with other content before its comment, which keeps its column where there is room."""
        column = self.comments.get(line)
        if column is None or self.is_comment(line):
            return content
        aligned = column - len(self.content(line)) > 1
        return content + " " * max(1, column - len(content) if aligned else 1) + self.lines[line][column:]


def scan(text: str) -> Layout:
    """The layout of a text."""
    import yaml

    lines = tuple(text.removesuffix("\n").split("\n"))
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    tokens: list[Any] = []
    while not tokens or not isinstance(tokens[-1], yaml.StreamEndToken):
        tokens.append(loader.get_token())
    inside: set[int] = set()
    kept: set[int] = set()
    growing: set[int] = set()
    ends: dict[int, int] = {}
    for token in tokens:
        first, last, column = token.start_mark.line, token.end_mark.line, token.end_mark.column
        if _is_block(token):
            header = _HEADER.match(lines[first], token.start_mark.column)
            assert header is not None
            held = _held(lines[: last if column == 0 else last + 1], first, header[0])
            inside.update(held)
            kept.update(held)
            if "+" in header[0] and held:
                growing.add(held[-1])
            ends[first] = header.end()
            continue
        if (first, token.start_mark.column) == (last, column):
            continue
        inside.update(range(first + 1, last + 1))
        kept.update(range(first, last))
        ends[last] = column
    comments = {
        number: found
        for number, line in enumerate(lines)
        if number not in kept and (number not in inside or number in ends)
        if (found := _comment(line, ends.get(number, 0))) is not None
    }
    return Layout(lines, tuple(tokens), frozenset(inside), frozenset(kept), frozenset(growing), comments)


def _is_block(token: Any) -> bool:
    return getattr(token, "style", None) in ("|", ">")


def _held(lines: tuple[str, ...], first: int, header: str) -> range:
    """The lines of a block scalar, which `lines` ends with; blank ones at its end only where they are data."""
    body = range(first + 1, len(lines))
    if "+" in header:
        return body
    # An indicator says the indentation: then the first line may be deeper, and every blank counts.
    told = any(character.isdigit() for character in header)
    written = [line for line in lines[first + 1 :] if line.strip(" ")]
    indentation = 0 if told or not written else len(written[0]) - len(written[0].lstrip(" "))
    while body and not lines[body[-1]].strip(" ") and len(lines[body[-1]]) <= indentation:
        body = body[:-1]
    return body


def _comment(line: str, start: int) -> int | None:
    rest = line[start:].lstrip(" \t")
    return len(line) - len(rest) if rest.startswith("#") else None
