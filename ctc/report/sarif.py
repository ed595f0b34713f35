"""Findings as SARIF 2.1.0, for code scanning. https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ctc import __version__
from ctc.diagnostics import Diagnostic, Span
from ctc.report import most_important
from ctc.report.data import encodable
from ctc.report.explanations import Explanation, explanation
from ctc.report.paths import relative
from ctc.report.secrets import Masked, hidden_sources

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MAX_RESULTS = 5000
"""GitHub shows so many results of one run: errors come first."""


def as_sarif(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], root: str) -> str:
    """One run with the rules of its results."""
    shown = most_important(diagnostics, MAX_RESULTS)
    codes = sorted({item.code for item in shown})
    hidden = hidden_sources(sources, diagnostics)
    writer = _Writer(hidden, codes, root)
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if len(shown) < len(diagnostics):
        text = f"{len(diagnostics) - len(shown)} more findings are left out: no more than {MAX_RESULTS} are shown"
        invocation["toolExecutionNotifications"] = [{"level": "note", "message": {"text": text}}]
    run = {
        "tool": {
            "driver": {
                "name": "ctc",
                "semanticVersion": __version__,
                "rules": [_rule(explanation(code)) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "results": [writer.result(item) for item in shown],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return encodable(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def _rule(explained: Explanation) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": explained.code,
        "shortDescription": {"text": explained.title},
        "fullDescription": {"text": explained.why or explained.title},
        "help": {"text": explained.text(), "markdown": explained.markdown()},
    }
    if explained.severity is not None:
        rule["defaultConfiguration"] = {"level": str(explained.severity)}
    return rule


class _Writer:
    def __init__(self, hidden: Mapping[str, Masked], codes: Sequence[str], root: str) -> None:
        self.hidden = hidden
        self.codes = codes
        self.root = root
        self._seen: dict[str, int] = {}

    def result(self, item: Diagnostic) -> dict[str, Any]:
        masked = self.hidden.get(item.where, Masked((), frozenset()))
        message = masked.text(item.message) + (f"\n{masked.text(item.help)}" if item.help else "")
        result: dict[str, Any] = {
            "ruleId": item.code,
            "ruleIndex": self.codes.index(item.code),
            "level": str(item.severity),
            "message": {"text": message},
            "partialFingerprints": {"primaryLocationLineHash": self._fingerprint(item)},
        }
        if item.where:
            result["locations"] = [{"physicalLocation": self._physical(item.where, item.span)}]
        if item.label is not None:
            place = self._physical(item.label.span.file, item.label.span)
            related = {"id": 1, "physicalLocation": place, "message": {"text": masked.text(item.label.text)}}
            result["relatedLocations"] = [related]
        if item.fix is not None and masked.text(item.fix.text) == item.fix.text:
            edit = item.fix
            replacement = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}}
            change = {"artifactLocation": self._artifact(edit.span.file), "replacements": [replacement]}
            result["fixes"] = [{"description": {"text": edit.title}, "artifactChanges": [change]}]
        return result

    def _fingerprint(self, item: Diagnostic) -> str:
        """Of the code and the place in the spec, so that a finding stays the same when lines move.

        The key is the one by which GitHub tells findings apart; it would hash the line's text if we said nothing.
        """
        named = "\0".join((item.code, self._artifact(item.where)["uri"], item.path))
        digest = hashlib.sha256(named.encode("utf-8", errors="replace")).hexdigest()[:16]
        self._seen[digest] = self._seen.get(digest, 0) + 1
        return f"{digest}:{self._seen[digest]}"

    def _physical(self, file: str, span: Span | None) -> dict[str, Any]:
        region = {"startLine": 1} if span is None else _region(span)
        return {"artifactLocation": self._artifact(file), "region": region}

    def _artifact(self, file: str) -> dict[str, str]:
        path = relative(file, self.root)
        if Path(path).is_absolute():
            return {"uri": "file://" + _quoted(path)}
        return {"uri": _quoted(path)}


def _quoted(path: str) -> str:
    try:
        content = path.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        content = path.encode("utf-8", errors="replace")
    return quote(content, safe="/-._~")


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.last_line,
        "endColumn": span.end_column,
    }
