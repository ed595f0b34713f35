"""Findings as workflow commands, which GitHub Actions shows beside the lines of a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctc.diagnostics import Diagnostic, Severity
from ctc.report.data import encodable
from ctc.report.paths import relative
from ctc.report.secrets import Masked, hidden_sources

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def as_github(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str], root: str) -> str:
    """One command a finding, errors first: GitHub shows the first ten of a level and step."""
    hidden = hidden_sources(sources, diagnostics)
    ranks = list(Severity)
    ordered = sorted(diagnostics, key=lambda item: ranks.index(item.severity))
    return "".join(_command(item, hidden.get(item.where, Masked((), frozenset())), root) + "\n" for item in ordered)


def _command(item: Diagnostic, masked: Masked, root: str) -> str:
    properties: dict[str, str | int] = {}
    if item.where:
        properties["file"] = relative(item.where, root)
    if item.span is not None:
        span = item.span
        properties |= {"line": span.line, "endLine": span.last_line}
        # GitHub takes columns only within one line.
        if span.last_line == span.line:
            properties |= {"col": span.column, "endColumn": span.end_column}
    properties["title"] = item.code
    written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    message = masked.text(item.message) + (f"\nhelp: {masked.text(item.help)}" if item.help else "")
    return encodable(f"::{_LEVELS[item.severity]} {written}::{_data(message)}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
