"""A spec from its file: read, render, check the shape, build the types, check the meaning. Bad input never raises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

from ctc.diagnostics import Diagnostic, Label, Severity
from ctc.language.checks import run
from ctc.language.render import DEFAULT, render
from ctc.language.shape import check_shape
from ctc.language.source import read
from ctc.language.spans import Path, Spans, at
from ctc.language.spec import Spec
from ctc.language.typed import spec_from

_FATAL = ("CT220", "CT302")
"""Without its environment or its target, everything else that is found may not be so."""


@dataclass(frozen=True)
class Loaded:
    """`spec` is None where a diagnostic is an error. `spans` belong to the rendered tree."""

    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
    spans: Spans


def load_spec(path: FilePath | str, environment: str | None = None, target: str | None = None) -> Loaded:
    """Loads one spec as it holds in an environment and, if one is named, on a target.

    Every finding of the first stage that has errors is in the result, in the order of the file.
    """
    document = read(path)
    if _has_errors(document.diagnostics) and not isinstance(document.data, dict):
        return Loaded(None, _sorted(document.diagnostics), document.spans)
    if not isinstance(document.data, dict):
        return Loaded(None, check_shape(document.data, document.spans), document.spans)
    rendered = render(document, environment, target)
    found = (*document.diagnostics, *rendered.diagnostics)
    if any(item.code in _FATAL for item in found):
        return Loaded(None, _sorted(item for item in found if item.severity is Severity.ERROR), rendered.spans)
    # A value that could not be read, or filled in, has the wrong shape for that reason only.
    told = {item.span for item in found}
    found = (*found, *(item for item in check_shape(rendered.data, rendered.spans) if item.span not in told))
    if _has_errors(found):
        return Loaded(None, _sorted(found), rendered.spans)
    spec = spec_from(rendered.data, rendered.environment)
    found = (*found, *(_placed(item, finding_path, rendered.spans) for item, finding_path in run(spec, target)))
    return Loaded(None if _has_errors(found) else spec, _sorted(found), rendered.spans)


def place(item: Diagnostic, loaded: Loaded) -> Diagnostic:
    """A diagnostic that names a dotted path, with the place of that path in the file."""
    if item.span is not None:
        return item
    return replace(item, span=at(loaded.spans, path_of(item.path)))


def path_of(dotted: str) -> Path:
    """The path that a diagnostic writes with dots."""
    return tuple(int(part) if part.isdigit() else part for part in dotted.split(".")) if dotted else ()


def _placed(item: Diagnostic, related: tuple[str, str] | None, spans: Spans) -> Diagnostic:
    span = at(spans, path_of(item.path))
    label = None
    if related is not None:
        second = at(spans, path_of(related[0]))
        label = None if second is None or second == span else Label(second, related[1])
    return replace(item, span=span, label=label)


def _has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(item.severity is Severity.ERROR for item in diagnostics)


def _sorted(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    def order(item: Diagnostic) -> tuple[int, int, str, str]:
        line, column = (item.span.line, item.span.column) if item.span is not None else (0, 0)
        return line, column, item.code, item.message

    return tuple(sorted(diagnostics, key=order))


__all__ = ["DEFAULT", "Loaded", "load_spec", "path_of", "place"]
