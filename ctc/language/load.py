"""A spec from its file: read, render, check the shape, build the types, check the meaning. Bad input never raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path as FilePath

from ctc.diagnostics import Diagnostic, Label, Severity
from ctc.language import gaps
from ctc.language.based import not_run
from ctc.language.checks import Found, run, run_on_environments, run_on_target
from ctc.language.render import DEFAULT, FIRST_ROW, Rendered, environments_of, render, rows_of
from ctc.language.shape import check_shape, schema
from ctc.language.source import Document, read
from ctc.language.spans import Path, Spans, at
from ctc.language.spec import Spec
from ctc.language.typed import spec_from
from ctc.value import Value, frozen

_FATAL = ("CT220", "CT228", "CT302")
"""Without its environment, its row or its target, everything else that is found may not be so."""

_UNUSED = "CT224"
"""A finding only where it is one in every environment."""


@frozen
class _Judged(Value):
    """What holds of a rendered spec on any target. `gap` is told where nothing else is an error."""

    rendered: Rendered
    spec: Spec
    found: tuple[Diagnostic, ...]
    gap: Diagnostic | None


@frozen
class Loaded(Value):
    """`spec` is None where a diagnostic is an error. `spans` belong to the rendered tree."""

    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
    spans: Spans
    judged: _Judged | None = None


def load_spec(
    path: FilePath | str | Document,
    environment: str | None = None,
    target: str | None = None,
    row: str | None = None,
    *,
    like: Loaded | None = None,
) -> Loaded:
    """Loads one spec as it holds in an environment, for a row of its matrix and, if one is named, on a target.

    Every finding of the first stage that has errors is in the result, in the order of the file. A document that is
    already read is not read again. `like` is the document loaded for another target: where both see the same values,
    only what is a matter of the target is checked.
    """
    document = read(path)
    loaded = _load(document, environment, target, row, like)
    return replace(loaded, diagnostics=_finished(loaded.diagnostics, document))


def load_each(
    path: FilePath | str | Document, environment: str | None = None, target: str | None = None
) -> tuple[tuple[Loaded, ...], tuple[Diagnostic, ...]]:
    """The spec in each of its environments, unless one is named, and for each row of its matrix; and all findings once.

    What is found is one finding however often it is found. That nothing uses a variable is told where it holds in
    every environment.
    """
    document = read(path)
    environments = (environment,) if environment is not None else environments_of(document) or (None,)
    rows = rows_of(document) or (None,)
    loaded = tuple(_load(document, name, target, row) for name in environments for row in rows)
    unused = [{item for item in one.diagnostics if item.code == _UNUSED} for one in loaded]
    everywhere = set.intersection(*unused)
    found = dict.fromkeys(
        item for one in loaded for item in one.diagnostics if item.code != _UNUSED or item in everywhere
    )
    specs = {one.spec.environment: one.spec for one in reversed(loaded) if one.spec is not None}
    between = tuple(_placed(run_on_environments(specs), document.spans))
    if _has_errors(between):
        loaded = tuple(replace(one, spec=None) for one in loaded)
    found.update(dict.fromkeys(between))
    return loaded, _finished(found, document, everywhere=environment is None)


def place(item: Diagnostic, loaded: Loaded) -> Diagnostic:
    """A diagnostic that names a dotted path, with the place of that path in the file."""
    if item.span is not None:
        return item
    return replace(item, span=at(loaded.spans, path_of(item.path)))


def path_of(dotted: str) -> Path:
    """The path that a diagnostic writes with dots."""
    return tuple(int(part) if part.isdigit() else part for part in dotted.split(".")) if dotted else ()


def _load(
    document: Document, environment: str | None, target: str | None, row: str | None, like: Loaded | None = None
) -> Loaded:
    if _has_errors(document.diagnostics) and not isinstance(document.data, dict):
        return Loaded(None, document.diagnostics, document.spans)
    if not isinstance(document.data, dict):
        return Loaded(None, check_shape(document.data, document.spans), document.spans)
    rendered = render(document, environment, target, row)
    found = (*document.diagnostics, *rendered.diagnostics)
    if any(item.code in _FATAL for item in found):
        return Loaded(None, tuple(item for item in found if item.severity is Severity.ERROR), rendered.spans)
    judged = like.judged if like is not None else None
    if judged is None or judged.rendered != rendered:
        # A value that could not be read, or filled in, has the wrong shape for that reason only.
        told = {item.span for item in found}
        found = (*found, *(item for item in check_shape(rendered.data, rendered.spans) if item.span not in told))
        if _has_errors(found):
            return Loaded(None, found, rendered.spans)
        judged = _judged(rendered, found)
    found = judged.found
    if target is not None:
        found = (*found, *_placed(run_on_target(judged.spec, target), rendered.spans))
    if judged.gap is not None and not _has_errors(found):
        found = (*found, judged.gap)
    return Loaded(None if _has_errors(found) else judged.spec, found, rendered.spans, judged)


def _judged(rendered: Rendered, found: tuple[Diagnostic, ...]) -> _Judged:
    missing = tuple(not_run(rendered.data, schema(), schema()))
    # Sorted: the order of the sections in the file is not part of what the spec means.
    gap_paths = tuple(sorted(".".join(map(str, path)) for path in missing))
    spec = spec_from(rendered.data, rendered.environment, rendered.row, gap_paths)
    found = (*found, *_placed(run(spec, rendered.data), rendered.spans))
    return _Judged(rendered, spec, found, gaps.finding(missing, rendered.spans))


def _placed(found: Iterable[Found], spans: Spans) -> Iterator[Diagnostic]:
    for item, related in found:
        span = at(spans, path_of(item.path))
        label = None
        if related is not None:
            second = at(spans, path_of(related[0]))
            label = None if second is None or second == span else Label(second, related[1])
        yield replace(item, span=span, label=label)


def _finished(found: Iterable[Diagnostic], document: Document, *, everywhere: bool = False) -> tuple[Diagnostic, ...]:
    """The findings in the order of the file, less those that a comment silences. `everywhere`: in all environments."""
    found = tuple(found)

    def order(item: Diagnostic) -> tuple[int, int, str, str]:
        line, column = (item.span.line, item.span.column) if item.span is not None else (0, 0)
        return line, column, item.code, item.message

    if found:
        from ctc.language.fixes import attach

        found = attach(found, document)
    if "ctc:" in document.text:
        from ctc.language.ignore import apply

        found = apply(found, document, everywhere=everywhere)
    return tuple(sorted(found, key=order))


def _has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(item.severity is Severity.ERROR for item in diagnostics)


__all__ = ["DEFAULT", "FIRST_ROW", "Loaded", "load_each", "load_spec", "path_of", "place"]
