"""What a finding is: a code, a severity, a sentence, a place. Knows nothing else of ctc."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of one line of a file. Lines and columns start at 1; `end_column` is exclusive.

    Columns count code points, as libyaml and SARIF (`columnKind: unicodeCodePoints`) do.
    """

    file: str
    line: int
    column: int
    end_column: int


@dataclass(frozen=True)
class Label:
    """A second place that explains a finding, with the few words shown beside it."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One finding. One root cause gives one diagnostic.

    `code` is never reused: CT0 file and YAML, CT1 shape, CT2 meaning, CT3 target, CT4 cost and policy, CT5 security.
    `path` is the dotted place in the spec (`promotion.gates.floor`), empty for the file as a whole.
    """

    code: str
    severity: Severity
    message: str
    path: str = ""
    span: Span | None = None
    label: Label | None = None
    help: str = ""


class CtcError(Exception):
    """Work that could not be done: a sentence for the user, and what to do about it. Never shown as a traceback."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
