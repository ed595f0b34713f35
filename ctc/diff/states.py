"""Where a spec holds: its environments, rows and targets, and what differs between two specs in each of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctc.diff.tree import Difference, differences
from ctc.language.matrix import read_matrix
from ctc.language.origins import resolved_tree
from ctc.language.render import Rendered, environments_of, render
from ctc.language.source import Document
from ctc.language.spans import Path


@dataclass(frozen=True)
class State:
    """One environment, row of the matrix and target in which both specs hold; None where there is no such thing.

    `alike` is how many more rows of the matrix stand for it: their own values did not change.
    """

    environment: str | None
    row: str | None
    target: str | None
    alike: int = 0

    @property
    def label(self) -> str:
        """`prod`, `prod, row no`, `prod on sagemaker`; empty for a spec that holds in one way only."""
        row = f"row {self.row}" + (f" and {self.alike:,} more" if self.alike else "") if self.row else ""
        where = ", ".join(part for part in (self.environment or "", row) if part)
        return f"{where} on {self.target}".strip() if self.target else where


@dataclass(frozen=True)
class Rows:
    """The matrix rows that came, went, stayed, and those of the latter whose values are others now."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]


@dataclass(frozen=True)
class Effect:
    """What holds otherwise, and in which states. `sources` are the places in the two files that it comes from."""

    difference: Difference
    states: tuple[State, ...]
    sources: frozenset[Path]


MOST_ROWS = 400
"""Rows of a matrix with values of their own that are looked at one by one; of more the count is told."""


def rows_between(base: Document, head: Document) -> Rows:
    """What became of the rows of the matrix, by their keys."""
    was, now = _rows(base), _rows(head)
    both = [key for key in now if key in was]
    changed = tuple(key for key in both if json.dumps(was[key]) != json.dumps(now[key]))
    return Rows(
        tuple(key for key in now if key not in was),
        tuple(key for key in was if key not in now),
        changed,
        tuple(key for key in both if key not in {*changed}),
    )


def _rows(document: Document) -> dict[str, Mapping[str, Any]]:
    section = document.data.get("matrix")
    if section is None:
        return {}
    return {row.key: dict(row.values) for row in read_matrix(section, document.spans, document.file).rows}


def states_of(
    base: Document, head: Document, rows: Rows, *, by_target: bool, most_rows: int = MOST_ROWS
) -> tuple[State, ...]:
    """The states that both specs have. A spec without environments holds in each of the other's.

    `by_target` tells targets with variables of their own apart, which most changes have nothing to do with.
    """
    old, new = environments_of(base), environments_of(head)
    named = [name for name in new if name in old] if old and new else [*new, *old]
    environments: list[str | None] = [*named] if old or new else [None]
    keys: list[tuple[str | None, int]] = [(None, 0)]
    if rows.changed or rows.same:
        keys = [(key, 0) for key in rows.changed[:most_rows]]
        keys += [(rows.same[0], len(rows.same) - 1)] if rows.same else []
    targets = [None, *(_own_values(base, head) if by_target else ())]
    return tuple(
        State(environment, key, target, alike)
        for environment in environments
        for key, alike in keys
        for target in targets
    )


def _own_values(base: Document, head: Document) -> list[str]:
    """The targets of both that have variables of their own in one of them."""
    found = []
    for name, settings in _targets(head).items():
        other = _targets(base).get(name)
        if other is not None and any(isinstance(it, dict) and "variables" in it for it in (settings, other)):
            found.append(name)
    return found


def _targets(document: Document) -> dict[str, Any]:
    section = document.data.get("targets")
    return section if isinstance(section, dict) else {}


def effects(base: Document, head: Document, states: Iterable[State]) -> tuple[Effect, ...]:
    """Every difference of the two rendered specs, once, with the states in which it holds."""
    found: dict[str, tuple[Difference, list[State], set[Path]]] = {}
    for state in states:
        old, new = (_rendered(document, state) for document in (base, head))
        for item in differences(resolved_tree(old), resolved_tree(new)):
            key = json.dumps([item.former, item.path, repr(item.was), repr(item.now)])
            _, where, sources = found.setdefault(key, (item, [], set()))
            where.append(state)
            sources.update(_sources(old, item.former), _sources(new, item.path))
    return tuple(Effect(item, tuple(where), frozenset(sources)) for item, where, sources in found.values())


def _rendered(document: Document, state: State) -> Rendered:
    """As the state says; a document without environments, or matrix, is the same in all of them."""
    environment = state.environment if state.environment in environments_of(document) else None
    target = state.target if state.target in _targets(document) else None
    return render(document, environment, target, state.row if "matrix" in document.data else None)


def _sources(rendered: Rendered, path: Path) -> Iterator[Path]:
    """The places of the file whose text stands at a place of the rendered tree, or below it."""
    yield _moved(rendered, path)
    for place, references in rendered.filled.items():
        if _is_related(place, path):
            for reference in references:
                scope, _, name = reference.partition(".")
                yield _moved(rendered, ("variables", name) if scope == "var" else ("matrix",))
    for place, source in rendered.patched.items():
        if len(place) > len(path) and place[: len(path)] == path:
            yield source


def _moved(rendered: Rendered, path: Path) -> Path:
    for length in range(len(path), 0, -1):
        source = rendered.patched.get(path[:length])
        if source is not None:
            return (*source, *path[length:])
    return path


def _is_related(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def belongs(effect: Effect, change: Difference) -> bool:
    """Whether a written difference is a reason for an effect."""
    return any(_is_related(source, change.path) or _is_related(source, change.former) for source in effect.sources)
