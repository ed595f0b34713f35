"""What libyaml complains of, in the user's words and at the user's place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ctc.diagnostics import Diagnostic, Label, Lines, Severity, Span

if TYPE_CHECKING:
    import yaml

_QUOTE = "quote text that has `:`, `#`, `{`, `[`, `*`, `&`, `!`, `%`, `@` or a backquote"
_FORBIDDEN = re.compile("[^\t\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INDENTATION = ("mapping values are not allowed in this context", "did not find expected key")
_PROBLEMS: dict[str, tuple[str, str]] = {
    "found character that cannot start any token": ("a value cannot start with this character", _QUOTE),
    "mapping values are not allowed in this context": ("a `:` that starts a value does not belong here", _QUOTE),
    "did not find expected key": ("a key does not start here", "check the quotes and brackets above"),
    "could not find expected ':'": ("a key without its `:`", "write `key: value`"),
    "found unexpected end of stream": ("the file ends inside a quoted text", "close the quote"),
    "did not find expected ',' or ']'": ("this list is not closed, or lacks a `,`", "close it with `]`"),
    "did not find expected ',' or '}'": ("this map is not closed, or lacks a `,`", "close it with `}`"),
}


def complaint(error: yaml.YAMLError, file: str, lines: Lines) -> Diagnostic:
    """One diagnostic for the error at which libyaml stopped."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return _forbidden_character(file, lines)
    line = min(mark.line, len(lines.rows) - 1)
    text = lines.rows[line]
    indent = text[: len(text) - len(text.lstrip())]
    if "\t" in indent:
        message = "a tab indents this line; YAML indents with spaces"
        return _at_line(file, "CT003", message, line, indent.index("\t"), "replace each tab by two spaces")
    problem = str(getattr(error, "problem", None) or error)
    before = _indent_before(lines, line)
    if problem in _INDENTATION and before is not None and before != len(indent):
        message = f"this line is indented by {len(indent)}, the one before by {before}, and they do not fit together"
        return _at_line(file, "CT004", message, line, len(indent), "give the keys of one map the same indentation")
    message, advice = _PROBLEMS.get(problem, (problem, ""))
    found = _at_line(file, "CT004", message, line, mark.column, advice)
    opened = getattr(error, "context_mark", None)
    # libyaml may put the beginning behind the end of the file, where nothing can be shown.
    if opened is None or opened.line == line or opened.line >= len(lines.rows):
        return found
    column = opened.column + 1
    return replace(found, label=Label(Span(file, opened.line + 1, column, column + 1), "begun here"))


def _forbidden_character(file: str, lines: Lines) -> Diagnostic:
    for line, text in enumerate(lines.rows):
        match = _FORBIDDEN.search(text)
        if match is not None:
            message = f"the character U+{ord(match[0]):04X} stands here, which YAML does not allow"
            return _at_line(file, "CT004", message, line, match.start(), "remove it")
    return _at_line(file, "CT004", "the file holds a character that YAML does not allow", 0, 0)


def _at_line(file: str, code: str, message: str, line: int, column: int, help: str = "") -> Diagnostic:
    span = Span(file, line + 1, column + 1, column + 2)
    return Diagnostic(code, Severity.ERROR, message, span=span, help=help)


def _indent_before(lines: Lines, line: int) -> int | None:
    for text in reversed(lines.rows[:line]):
        if text.strip() and not text.lstrip().startswith("#"):
            return len(text) - len(text.lstrip())
    return None
