"""Applying fixes: one at a time, each proven by reading the spec again, so that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ctc.diagnostics import Diagnostic, Edit, Lines, Severity, Span
from ctc.language.source import Document, parse
from ctc.language.spans import Path, Spans

MAX_FIXES = 500
"""In one file: more is no spec that somebody wrote."""

Findings = Callable[[Document], Iterable[Diagnostic]]


@dataclass(frozen=True)
class Mended:
    """`document` as it is after the fixes in `done`; those in `refused` would have changed more than they say."""

    document: Document
    done: tuple[Diagnostic, ...]
    refused: tuple[Diagnostic, ...]


def mend(document: Document, findings: Findings) -> Mended:
    """Applies every fix of an error or a warning that holds; `findings` judges a document. Writes no file."""
    done: list[Diagnostic] = []
    refused: list[Diagnostic] = []
    tried: set[tuple[str, str, str]] = set()
    while len(done) < MAX_FIXES:
        before = list(findings(document))
        item = next((item for item in before if _open(item, document) and _name(item, document) not in tried), None)
        if item is None or item.fix is None:
            break
        tried.add(_name(item, document))
        changed = parse(edited(document.text, item.fix), document.file)
        if _holds(item, before, document, changed, list(findings(changed))):
            document = changed
            done.append(item)
            # What could not be mended before may now be.
            tried = set()
            refused.clear()
        else:
            refused.append(item)
    return Mended(document, tuple(done), tuple(refused))


def edited(text: str, edit: Edit) -> str:
    """The text after one change."""
    lines = Lines(text)
    span = edit.span
    start, end = lines.offset(span.line, span.column), lines.offset(span.last_line, span.end_column)
    return text[:start] + edit.text + text[end:]


def _open(item: Diagnostic, document: Document) -> bool:
    return item.fix is not None and item.severity is not Severity.NOTE and item.fix.span.file == document.file


def _name(item: Diagnostic, document: Document) -> tuple[str, str, str]:
    """A finding, however the lines above it move."""
    edit = item.fix
    assert edit is not None
    return item.code, item.message + item.path, edited(document.text, edit)


def _holds(item: Diagnostic, before: list[Diagnostic], old: Document, new: Document, after: list[Diagnostic]) -> bool:
    """Fewer findings of this kind, no new ones that the change itself makes, and no other change of the data."""
    if _count(after, item.code) >= _count(before, item.code):
        return False
    # A value written otherwise may be of the wrong type; below a key that is known at last, more is looked at.
    made = ("CT0", "CT1") if item.code.startswith("CT0") else ("CT0",)
    early = {found.code for found in after if found.code.startswith(made)}
    if any(_count(after, code) > _count(before, code) for code in early if code not in _REVEALED):
        return False
    return only_change(old.data, new.data, _path(item, old.spans))


_REVEALED = ("CT023",)
"""An ignore is judged only once there are no errors."""


def _count(found: Iterable[Diagnostic], code: str) -> int:
    return sum(item.code == code for item in found)


def _path(item: Diagnostic, spans: Spans) -> Path | None:
    """The node at which a finding stands in the file; None for a comment, or a key that the reader dropped."""
    span = item.span
    if span is None:
        return None
    starts = ((path, (place.key, place.value)) for path, place in spans.items() if path)
    return next((path for path, places in starts if any(_starts_at(place, span) for place in places)), None)


def _starts_at(place: Span | None, span: Span) -> bool:
    return place is not None and (place.line, place.column) == (span.line, span.column)


def only_change(old: Any, new: Any, path: Path | None) -> bool:
    """Whether two trees differ at `path` only: its value, its name, or that it (or what held nothing else) is gone."""
    if not path:
        return _same(old, new)
    step, rest = path[0], path[1:]
    if isinstance(old, list) and isinstance(new, list) and isinstance(step, int):
        others = old[:step] + old[step + 1 :], new[:step] + new[step + 1 :]
        return len(old) == len(new) and _same(*others) and _within(old[step], new[step], rest)
    if not isinstance(old, dict) or not isinstance(new, dict) or step not in old:
        return False
    if not all(key in new and _same(value, new[key]) for key, value in old.items() if key != step):
        return False
    added = [key for key in new if key not in old]
    if step in new:
        return not added and _within(old[step], new[step], rest)
    if rest:
        return not added and _holds_only(old[step], rest)
    return not added or (len(added) == 1 and _same(new[added[0]], old[step]))


def _within(old: Any, new: Any, rest: Path) -> bool:
    return only_change(old, new, rest) if rest else not any(isinstance(value, dict | list) for value in (old, new))


def _holds_only(value: Any, path: Path) -> bool:
    """Whether `path` leads to all that there is in `value`."""
    for step in path:
        if not isinstance(value, dict) or list(value) != [step]:
            return False
        value = value[step]
    return True


def _same(old: Any, new: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and true are three values of a spec. Order counts."""
    return repr(old) == repr(new)
