"""What follows of a change where nobody edited anything: resources, wakes and runs, estimates, warnings, waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from ctc import targets as registry
from ctc.cost.amounts import Range
from ctc.cost.book import shipped
from ctc.cost.compare import delta
from ctc.cost.estimate import Estimate
from ctc.cost.text import COLUMNS, NOT_ESTIMATED, money
from ctc.diagnostics import Diagnostic, Severity
from ctc.diff.model import Number, Outcome, Resources
from ctc.diff.numbers import numbers_between
from ctc.diff.resources import resources_between
from ctc.diff.states import MOST_ROWS, Rows, State, rows_between, states_of
from ctc.language.load import FIRST_ROW, load_spec
from ctc.language.render import environments_of, rows_of
from ctc.language.source import Document
from ctc.language.spec import Spec
from ctc.report import masked


def outcome(
    base: Document | None, head: Document | None, at: datetime | None, warnings: tuple[tuple[Diagnostic, ...], ...]
) -> Outcome:
    """Of one spec that changed, or is new, or is gone (None). The head has no errors.

    `warnings` are those of base and head. Of environments in which both specs are the same nothing is told.
    """
    resources: list[Resources] = []
    numbers: list[Number] = []
    notes: dict[str, None] = {}
    for state in _states(base, head):
        old, new = (_spec(document, state, None) for document in (base, head))
        if old != new:
            numbers += numbers_between(old, new, at, state.label)
            notes.update(dict.fromkeys(_waits(old, new, state.label)))
        for target in _targets(old, new):
            former, latter = (_spec(document, state, target) for document in (base, head))
            if former == latter:
                continue
            found, carried = resources_between(former, latter, target, state.label)
            numbers += cost_delta(former, latter, target, state.label)
            if not found.is_nothing:
                resources.append(found)
            notes.update(dict.fromkeys(carried))
    if base is not None and head is not None:
        notes.update(dict.fromkeys(_of_rows(rows_between(base, head))))
    if head is not None:
        notes.update(dict.fromkeys(_new_warnings(*warnings)))
    return Outcome(tuple(resources), tuple(numbers), tuple(notes))


def cost_delta(base: Spec | None, head: Spec | None, target: str, where: str) -> tuple[Number, ...]:
    """What a run and a month cost on a target before and after, by the estimates and the prices of `ctc cost`.

    A number that did not change is left out; what is not known is `not estimated`, and what is known in part `> 12.30`.
    """
    found = delta(base, head, shipped(), target)
    told = [
        (name, _amounts(item.before, was), _amounts(item.after, now))
        for item in found.changed
        for name, (was, now) in (("run", item.run), ("month", item.month))
    ]
    return tuple(
        Number(f"{target}: a {name}, {found.currency} ({' / '.join(COLUMNS)})", where, was, now)
        for name, was, now in told
        if was != now and {was, now} != {"none", NOT_ESTIMATED}
    )


def _amounts(there: Estimate | None, found: Range) -> str:
    """The three amounts, or the one word that is all of them; `none` where there is no such deployment."""
    if there is None:
        return "none"
    words = [money(amount) for amount in found.columns]
    return words[0] if len(set(words)) == 1 else " / ".join(words)


def _states(base: Document | None, head: Document | None) -> tuple[State, ...]:
    """Where both hold; of a spec or an environment that is there on one side only, that side's."""
    if base is not None and head is not None:
        rows = rows_between(base, head)
        shared = {(it.environment, it.row): it for it in _some_states(base, head, rows)}
        old, new = environments_of(base), environments_of(head)
        lone = [name for name in (*new, *old) if old and new and (name in old) is not (name in new)]
        row = next(iter((*rows.changed, *rows.same)), None)
        one_sided = [
            State(name, keys[0], None, len(keys) - 1)
            for keys in (rows.added, rows.removed)
            if keys and row is not None
            for name in environments_of(head) or (None,)
        ]
        return (*shared.values(), *one_sided, *(State(name, row, None) for name in lone))
    document = head if head is not None else base
    assert document is not None
    keys = rows_of(document)
    row, alike = (keys[0], len(keys) - 1) if keys else (None, 0)
    return tuple(State(name, row, None, alike) for name in environments_of(document) or (None,))


def _some_states(base: Document, head: Document, rows: Rows) -> tuple[State, ...]:
    """Of rows that changed, each by itself, one stands for all: what it is compiled to differs in values only."""
    found = states_of(base, head, rows, by_target=False, most_rows=1)
    more = len(rows.changed) - 1
    return tuple(replace(it, alike=more) if it.row in rows.changed and more > 0 else it for it in found)


def _spec(document: Document | None, state: State, target: str | None) -> Spec | None:
    """The spec as it holds there; None where it does not, or has errors there, or names no such target."""
    if document is None or not isinstance(document.data, dict):
        return None
    named = environments_of(document)
    if state.environment is not None and named and state.environment not in named:
        return None
    environment = state.environment if named else None
    row = (state.row or FIRST_ROW) if "matrix" in document.data else None
    return load_spec(document, environment, target, row).spec


def _targets(base: Spec | None, head: Spec | None) -> list[str]:
    named = {*(base.targets if base is not None else ()), *(head.targets if head is not None else ())}
    return [name for name in registry.NAMES if name in named]


def _of_rows(rows: Rows) -> Iterator[str]:
    """How many deployments of a matrix a change of its rows touches."""
    if rows.changed:
        told = f"; the first {MOST_ROWS} are told" if len(rows.changed) > MOST_ROWS else ""
        have = (
            "one row of the matrix has" if len(rows.changed) == 1 else f"{len(rows.changed):,} rows of the matrix have"
        )
        yield f"{have} other values, {len(rows.same):,} the same{told}"


def _waits(base: Spec | None, head: Spec | None, where: str) -> Iterator[str]:
    """What a deployed system does with what is under way, by the rules of the controller."""
    if base is None or head is None:
        return
    here = f" in {where}" if where else ""
    if base.promotion.approval is not None or base.promotion.first is not None or base.mode == "recommend":
        yield f"a candidate that waits for approval{here} is withdrawn when this is deployed, and asked about again"
    if base.rollout is not None and head.rollout is not None and _serves(base) != _serves(head):
        yield f"a rollout that is under way{here} starts over when this is deployed"
    if base.training != head.training:
        trains = head.retraining.on_deploy == "retrain"
        yield (
            f"a changed training section{here} starts a run when this is deployed (on_deploy: retrain)"
            if trains
            else f"the changed training section{here} counts from the next run on (on_deploy: wait)"
        )


def _serves(spec: Spec) -> tuple[object, ...]:
    """What a rollout cannot go on without: its steps, and the server."""
    assert spec.rollout is not None
    return spec.rollout.steps, spec.serving


def _new_warnings(base: tuple[Diagnostic, ...], head: tuple[Diagnostic, ...]) -> Iterator[str]:
    """Warnings that the head has and the base had not: what a good reviewer would say of the new spec."""
    known = {(item.code, item.message) for item in base}
    for item in head:
        if item.severity is Severity.WARNING and (item.code, item.message) not in known:
            yield f"new warning {item.code}: {masked(item.message)}"
    left = {(item.code, item.message) for item in head}
    for item in base:
        if item.severity is Severity.WARNING and (item.code, item.message) not in left:
            yield f"warning {item.code} is gone: {masked(item.message)}"
