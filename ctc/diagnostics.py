"""What a finding is: a code, a severity, a sentence, a place, and what would mend it. Knows nothing else of ctc."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ctc.value import Value, frozen


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


# Of these there are as many as values in the file: a generated `__init__` pays.
@dataclass(frozen=True)
class Span:
    """A stretch of a file. Lines and columns start at 1; `end_column` is exclusive, and counts on the last line.

    Columns count code points, as libyaml and SARIF (`columnKind: unicodeCodePoints`) do. `end_line` is 0 for a
    stretch of one line.
    """

    file: str
    line: int
    column: int
    end_column: int
    end_line: int = 0

    @property
    def last_line(self) -> int:
        return self.end_line or self.line


@frozen
class Label(Value):
    """A second place that explains a finding, with the few words shown beside it."""

    span: Span
    text: str


@frozen
class Edit(Value):
    """A change that mends a finding without anybody's judgement: what stands at `span` becomes `text`.

    `title` says it in a few words, as an order: "rename `min_row` to `min_rows`".
    """

    span: Span
    text: str
    title: str


@frozen
class Diagnostic(Value):
    """One finding. One root cause gives one diagnostic.

    `code` is never reused: CT0 file and YAML, CT1 shape, CT2 meaning, CT3 target, CT4 cost and policy, CT5 security.
    `path` is the dotted place in the spec (`promotion.gates.floor`), empty for the file as a whole. `file` is needed
    only where there is no span: of a file that cannot be read.
    """

    code: str
    severity: Severity
    message: str
    path: str = ""
    span: Span | None = None
    label: Label | None = None
    help: str = ""
    fix: Edit | None = None
    file: str = ""

    @property
    def where(self) -> str:
        """The file that the finding is about; empty if it is about none."""
        return self.span.file if self.span is not None else self.file


class CtcError(Exception):
    """Work that could not be done: a sentence for the user, and what to do about it. Never shown as a traceback."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class Lines:
    """A text by the lines that spans count: those of YAML, which breaks also at U+0085, U+2028 and U+2029."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.rows = _BREAK.split(text)
        self._starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def __getitem__(self, line: int) -> str:
        """A line by its number from 1, without its break; empty beyond the end."""
        return self.rows[line - 1] if 1 <= line <= len(self.rows) else ""

    def offset(self, line: int, column: int) -> int:
        """The index into the text of a place; the end of the text for one beyond it."""
        if line > len(self.rows):
            return len(self.text)
        return min(self._starts[line - 1] + column - 1, len(self.text))

    def cut(self, span: Span) -> str:
        """The text of a span."""
        return self.text[self.offset(span.line, span.column) : self.offset(span.last_line, span.end_column)]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an index into the text."""
        from bisect import bisect_right

        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
