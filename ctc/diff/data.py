"""A diff for programs: the document of `schemas/diff.v1.schema.json`."""

from __future__ import annotations

import json
from typing import Any

from ctc.diagnostics import Diagnostic
from ctc.diff.model import Change, Holds, Number, Report, Resources, SpecDiff, safe
from ctc.diff.values import ABSENT
from ctc.report import masked

VERSION = 1
_WHOLE = 100_000
"""Characters of a value that are kept: more than any has that a person wrote."""


def as_json(report: Report) -> str:
    """The whole report, nothing cut and nothing grouped, with a line feed at its end."""
    document = {
        "version": VERSION,
        "base": report.base,
        "head": report.head,
        "level": report.level.word,
        "unchanged": report.unchanged,
        "specs": [_spec(spec) for spec in report.specs],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _spec(spec: SpecDiff) -> dict[str, Any]:
    return {
        "path": spec.path,
        "former": spec.former,
        "name": spec.name,
        "verb": spec.verb,
        "level": spec.level.word,
        "changes": [_change(change) for change in spec.changes],
        "resources": [_resources(item) for item in spec.outcome.resources],
        "numbers": [_number(item) for item in spec.outcome.numbers],
        "notes": [masked(note) for note in spec.outcome.notes],
        "warnings": [masked(line) for line in spec.warnings],
        "findings": [_finding(item) for item in spec.findings],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "path": change.path,
        "verb": change.verb,
        "side": change.place.side,
        "file": change.place.file,
        "line": change.place.line,
        **_values(change.path, change.was, change.now),
        "former": change.former,
        "kind": change.kind.value,
        "level": change.level.word,
        "why": change.meaning.why,
        "where": list(change.where),
        "comes_to": [_holds(item) for item in change.comes_to],
    }


def _holds(item: Holds) -> dict[str, Any]:
    return {
        "path": item.path,
        **_values(item.path, item.was, item.now),
        "kind": item.meaning.kind.value,
        "level": item.meaning.level.word,
        "why": item.meaning.why,
        "where": list(item.where),
    }


def _values(path: str, was: Any, now: Any) -> dict[str, str]:
    """As a spec writes them; a key that is not there has no value."""
    pair = {"was": was, "now": now}
    return {word: safe(path, value, _WHOLE) for word, value in pair.items() if value is not ABSENT}


def _resources(item: Resources) -> dict[str, Any]:
    return {
        "where": item.where,
        "target": item.target,
        "created": list(item.created),
        "updated": list(item.updated),
        "replaced": list(item.replaced),
        "deleted": list(item.deleted),
        "left": list(item.left),
        "relabelled": item.relabelled,
        "unknown": item.unknown,
    }


def _number(item: Number) -> dict[str, str]:
    return {"what": item.what, "where": item.where, "was": item.was, "now": item.now}


def _finding(item: Diagnostic) -> dict[str, Any]:
    span = item.span
    return {
        "code": item.code,
        "severity": str(item.severity),
        "message": masked(item.message),
        "path": item.path,
        "file": item.where,
        "line": 0 if span is None else span.line,
        "column": 0 if span is None else span.column,
        "help": masked(item.help),
    }
