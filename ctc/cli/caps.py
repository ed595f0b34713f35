"""The caps of `cost` in `ctc validate`: an estimate for each target of a spec that states any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctc.cli.judged import Judged
from ctc.diagnostics import CtcError, Diagnostic

if TYPE_CHECKING:
    from ctc.cost.book import Book
    from ctc.language.source import Document
    from ctc.language.spec import Spec

Pricing = Callable[[Judged, str | None, tuple[str, ...]], Judged]
"""Adds what is found of caps: of what was judged, in an environment (None: each), for targets (none, `all`: each)."""


def caps(prices: Path | None) -> Pricing:
    """Nothing is estimated for specs without caps; without `prices` the shipped book holds."""

    def priced(judged: Judged, environment: str | None, targets: tuple[str, ...]) -> Judged:
        capped = [spec for spec in judged.specs if _is_capped(spec)]
        if not capped:
            return judged
        found = dict.fromkeys(judged.findings)
        book = _book(prices)
        for target in _targets(capped, targets):
            found.update(dict.fromkeys(_on_target(judged.document, environment, target, book)))
        return replace(judged, findings=tuple(found))

    return priced


def _is_capped(spec: Spec) -> bool:
    return spec.cost is not None and (spec.cost.max_per_run, spec.cost.max_per_month) != (None, None)


def _targets(specs: list[Spec], asked: tuple[str, ...]) -> tuple[str, ...]:
    from ctc.cost.estimate import targets_of

    if asked and "all" not in asked:
        return asked
    return tuple(dict.fromkeys(name for spec in specs for name in targets_of(spec)))


def _book(prices: Path | None) -> Book:
    """CtcError for a file of prices with errors, which `ctc cost` shows in place."""
    from ctc.cost.book import shipped
    from ctc.cost.own import read_prices

    if prices is None:
        return shipped()
    if not prices.is_file():
        raise CtcError(f"there is no file {prices}", "`ctc cost --help` shows one")
    given = read_prices(prices)
    if given.book is None:
        first = given.diagnostics[0]
        line = f":{first.span.line}" if first.span is not None else ""
        raise CtcError(f"{prices}{line}: {first.message}", first.help)
    return given.book


def _on_target(document: Document, environment: str | None, target: str, book: Book) -> Iterator[Diagnostic]:
    from ctc.cost.caps import findings
    from ctc.cost.estimate import estimate
    from ctc.language.ignore import silenced
    from ctc.language.load import load_each, place

    for loaded in load_each(document, environment, target)[0]:
        if loaded.spec is not None and _is_capped(loaded.spec):
            found = findings(loaded.spec, estimate(loaded.spec, target, book), book)
            yield from silenced((place(item, loaded) for item in found), document)
