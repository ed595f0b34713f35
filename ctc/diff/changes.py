"""The changes of one spec: what was written otherwise, what that comes to in each environment, and why it matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ctc.diff.meaning import Kind, Level, Meaning, meaning
from ctc.diff.model import Change, Holds, Place
from ctc.diff.states import Effect, Rows, State, belongs, effects, rows_between, states_of
from ctc.diff.tree import Difference, differences
from ctc.diff.values import ABSENT, dotted, is_respelt
from ctc.language.render import environments_of
from ctc.language.source import Document
from ctc.language.spans import Path, at

_ELSEWHERE = ("variables", "environments", "matrix")
"""Sections whose values mean nothing where they stand."""

_EACH = 3
"""Rows of a matrix that have the same place otherwise, each in its way, and are told one by one."""


def changes_between(base: Document, head: Document) -> tuple[Change, ...]:
    """Every change of meaning, the gravest first, then in the order of the file. Both documents hold a map."""
    rows = rows_between(base, head)
    written = [item for item in differences(base.data, head.data) if not _is_row(item)]
    states = states_of(base, head, rows, by_target=any(map(_depends_on_target, written)))
    felt = effects(base, head, states)
    written = [item for item in written if not _is_respelt(item, felt)]
    found = [
        _change(item, [it for it in felt if belongs(it, item) and _is_of(it, item, written)], states, base, head)
        for item in written
    ]
    unexplained = [it for it in felt if not any(belongs(it, item) for item in written)]
    found += _knock_ons(unexplained, states, head)
    found += _of_rows(rows, base, head)
    return tuple(sorted(_told_once(found), key=lambda change: (-change.level, change.place.side, change.place.line)))


def whole_spec(document: Document, side: str) -> Change:
    """That a spec is new (`head`), or gone (`base`): a deployment."""
    name = document.data.get("name") if isinstance(document.data, dict) else None
    span = at(document.spans, ("name",))
    place = Place(side, document.file, 0 if span is None else span.line)
    if side == "head":
        why = "a new spec: a deployment of its own, without a champion; the others stay as they are"
        return Change("name", place, ABSENT, name, Meaning(Kind.REACH, Level.MEDIUM, why))
    why = "the spec is gone: nothing checks or changes what was deployed of it, which stays until `ctc destroy`"
    return Change("name", place, name, ABSENT, Meaning(Kind.REACH, Level.HIGH, why))


def _is_row(item: Difference) -> bool:
    """Whether it is of a matrix that stays a matrix: its rows are told by their keys."""
    return item.path[0] == "matrix" and len(item.path) > 1


def _is_respelt(change: Difference, felt: Sequence[Effect]) -> bool:
    """Whether a variable has the same value in other words, and nothing that uses it sees the difference."""
    return is_respelt(change.was, change.now) and not any(belongs(effect, change) for effect in felt)


def _is_of(effect: Effect, change: Difference, written: Sequence[Difference]) -> bool:
    """Whether an effect is not just another change by itself."""
    return effect.difference == change or effect.difference not in written


def _depends_on_target(item: Difference) -> bool:
    """Whether it is a variable, or refers to one: a target may have a value of its own for it."""
    return item.path[0] in ("variables", "environments", "targets") or _refers(item)


def _refers(item: Difference) -> bool:
    return "${" in f"{item.was!r}{item.now!r}"


def _change(
    item: Difference, felt: Sequence[Effect], states: Sequence[State], base: Document, head: Document
) -> Change:
    plain = [it for it in felt if it.difference == item]
    rest = tuple(_holds(it, states) for it in felt if it.difference != item)
    # What refers to a variable has no direction by itself: what it comes to has.
    elsewhere = item.path[0] in _ELSEWHERE or _is_variable(item.path) or (_refers(item) and bool(rest))
    whole = _is_whole_environment(item, base, head)
    own = meaning(item.path, item.was, item.now, renamed=item.renamed)
    means = [holds.meaning for holds in rest] + ([] if elsewhere and not whole else [own])
    if not felt and states and not whole:
        means = [_without_effect(item)]
    gravest = max(means, key=lambda one: one.level, default=own)
    where = _labels(plain[0].states, states) if plain and not rest else ()
    former = dotted(item.former) if item.renamed else ""
    return Change(dotted(item.path), _place(item, base, head), item.was, item.now, gravest, where, rest, former)


def _is_variable(path: Path) -> bool:
    return path[0] == "targets" and len(path) > 2 and path[2] == "variables"


def _is_whole_environment(item: Difference, base: Document, head: Document) -> bool:
    """Whether an environment, or all of them, came or went, or has another name: that is a deployment."""
    if item.path[0] != "environments":
        return False
    return len(item.path) <= 2 and set(environments_of(base)) != set(environments_of(head))


def _without_effect(item: Difference) -> Meaning:
    if item.path[0] == "variables":
        return Meaning(Kind.COSMETIC, Level.LOW, "nothing that is compiled changes by it")
    if _refers(item):
        return Meaning(Kind.COSMETIC, Level.LOW, "the same value results: nothing that is compiled changes")
    return Meaning(Kind.COSMETIC, Level.LOW, "every environment overrides it: nothing that is compiled changes")


def _holds(effect: Effect, states: Sequence[State]) -> Holds:
    item = effect.difference
    means = meaning(item.path, item.was, item.now, renamed=item.renamed)
    return Holds(dotted(item.path), item.was, item.now, means, _labels(effect.states, states))


def _labels(where: Iterable[State], states: Sequence[State]) -> tuple[str, ...]:
    """The states by name; none where it is all of them. A target is named only where targets differ."""
    chosen = tuple(where)
    if len(chosen) == len(states):
        return ()
    targets = {state.target for state in states}
    found: dict[str, None] = {}
    for state in chosen:
        short = State(state.environment, state.row, None, state.alike)
        everywhere = {other.target for other in chosen if _is_beside(other, state)} == targets
        found[short.label if everywhere else _of_target(state, targets)] = None
    return tuple(label for label in found if label)


def _of_target(state: State, targets: Iterable[str | None]) -> str:
    """A state of one target, or of those that have no values of their own."""
    if state.target is not None:
        return state.label
    others = " and ".join(sorted(name for name in targets if name is not None))
    return f"{state.label} (not on {others})".strip()


def _is_beside(one: State, other: State) -> bool:
    return (one.environment, one.row) == (other.environment, other.row)


def _knock_ons(found: Sequence[Effect], states: Sequence[State], head: Document) -> Iterator[Change]:
    """One change each; a place that many rows of the matrix have otherwise is one, told of the gravest of them."""
    by_place: dict[Path, list[Effect]] = {}
    for effect in found:
        by_place.setdefault(effect.difference.path, []).append(effect)
    for effects_there in by_place.values():
        changes = [_knock_on(effect, states, head) for effect in effects_there]
        if len(changes) <= _EACH:
            yield from changes
            continue
        gravest = max(changes, key=lambda change: change.level)
        others = sum(len(effect.states) for effect in effects_there) - len(gravest.where)
        yield replace(gravest, where=(*gravest.where, f"with other values {others:,} more"))


def _knock_on(effect: Effect, states: Sequence[State], head: Document) -> Change:
    """What holds otherwise although the spec itself does not say so: a row of the matrix, or a file that it names."""
    item = effect.difference
    means = meaning(item.path, item.was, item.now, renamed=item.renamed)
    span = at(head.spans, item.path)
    place = Place("head", head.file if span is None else span.file, 0 if span is None else span.line)
    where = _labels(effect.states, states)
    return Change(dotted(item.path), place, item.was, item.now, means, where)


def _place(item: Difference, base: Document, head: Document) -> Place:
    document, path, side = (base, item.former, "base") if item.now is ABSENT else (head, item.path, "head")
    span = at(document.spans, path, key=True)
    return Place(side, document.file if span is None else span.file, 0 if span is None else span.line)


def _of_rows(rows: Rows, base: Document, head: Document) -> Iterator[Change]:
    """Rows that came or went: deployments. A matrix that came or went as a whole is a change by itself."""
    if "matrix" not in base.data or "matrix" not in head.data:
        return
    for keys, document, side in ((rows.added, head, "head"), (rows.removed, base, "base")):
        span = at(document.spans, ("matrix",), key=True)
        line = 0 if span is None else span.line
        if not keys:
            continue
        shown = [*keys[:20], f"and {len(keys) - 20:,} more"] if len(keys) > 20 else [*keys]
        was, now = (ABSENT, shown) if side == "head" else (shown, ABSENT)
        word = "added" if side == "head" else "removed"
        count = "one deployment" if len(keys) == 1 else f"{len(keys):,} deployments"
        why = f"{count} more, without a champion" if word == "added" else f"{count} left behind until `ctc destroy`"
        path = f"matrix.{'.'.join(head.data['matrix'])} rows"
        level = Level.MEDIUM if word == "added" else Level.HIGH
        yield Change(path, Place(side, document.file, line), was, now, Meaning(Kind.REACH, level, why))


def _told_once(changes: Iterable[Change]) -> list[Change]:
    """A value that hundreds of matrix rows have otherwise is one change."""
    found: dict[tuple[str, str, str, bool], Change] = {}
    for change in changes:
        key = (change.path, repr(change.was), repr(change.now), bool(change.comes_to))
        found.setdefault(key, change)
    return list(found.values())
