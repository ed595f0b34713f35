"""Findings as JSON, by the published schema `diagnostics.v1.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ctc.diagnostics import Diagnostic, Edit, Lines, Severity, Span
from ctc.report.secrets import Masked, hidden_sources

VERSION = 1
"""Grows when a reader of the old form would go wrong; a new key does not."""


def as_json(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], files: int) -> str:
    """All findings, in their order, and how many there are of each severity."""
    texts = {file: Lines(text.removeprefix("\ufeff")) for file, text in sources.items()}
    hidden = hidden_sources(sources, diagnostics)
    writer = _Writer(sources, texts, hidden)
    counts = {f"{kind}s": sum(item.severity is kind for item in diagnostics) for kind in Severity}
    seen = len({item.where for item in diagnostics if item.where})
    document = {
        "version": VERSION,
        "findings": [writer.finding(item) for item in diagnostics],
        "summary": {"files": max(files, seen), **counts},
    }
    return encodable(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def encodable(text: str) -> str:
    """Text that UTF-8 can hold: a file's name may have bytes that are no characters."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


class _Writer:
    def __init__(self, sources: Mapping[str, str], texts: Mapping[str, Lines], hidden: Mapping[str, Masked]) -> None:
        self.sources = sources
        self.texts = texts
        self.hidden = hidden

    def finding(self, item: Diagnostic) -> dict[str, Any]:
        masked = self.hidden.get(item.where, Masked((), frozenset()))
        data: dict[str, Any] = {
            "code": item.code,
            "severity": str(item.severity),
            "message": masked.text(item.message),
            "path": item.path,
            **self._place(item.span, item.where),
            "related": [],
            "help": masked.text(item.help),
        }
        if item.label is not None:
            label = item.label
            data["related"] = [{**self._place(label.span, label.span.file), "message": masked.text(label.text)}]
        if item.fix is not None and masked.text(item.fix.text) == item.fix.text:
            data["fix"] = self._fix(item.fix)
        return data

    def _fix(self, fix: Edit) -> dict[str, Any]:
        return {"title": fix.title, "edits": [{**self._place(fix.span, fix.span.file), "text": fix.text}]}

    def _place(self, span: Span | None, file: str) -> dict[str, Any]:
        if span is None:
            return {"file": file or None, "start": None, "end": None}
        return {
            "file": span.file,
            "start": self._point(file, span.line, span.column),
            "end": self._point(file, span.last_line, span.end_column),
        }

    def _point(self, file: str, line: int, column: int) -> dict[str, Any]:
        byte = None
        if file in self.texts:
            lines = self.texts[file]
            mark = 3 if self.sources[file].startswith("\ufeff") else 0
            byte = mark + len(lines.text[: lines.offset(line, column)].encode("utf-8", errors="replace"))
        return {"line": line, "column": column, "byte": byte}
