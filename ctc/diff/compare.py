"""Two states of the files to a report: each spec once, found again where it was moved, alike changes grouped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ctc.diagnostics import Diagnostic, Severity
from ctc.diff.changes import changes_between, whole_spec
from ctc.diff.chosen import Chosen
from ctc.diff.model import Change, Outcome, Report, SpecDiff
from ctc.diff.named import named_by
from ctc.diff.outcome import outcome
from ctc.diff.parallel import in_parallel
from ctc.diff.sides import Side
from ctc.language.load import FIRST_ROW, load_each, load_spec
from ctc.language.render import environments_of, rows_of
from ctc.language.source import Document, read
from ctc.report import masked

MOST_COMPILED = 12
"""Specs, or groups of specs that changed alike, whose bundles are compiled and compared."""

_MOST_LIKENESSES = 10_000
"""Pairs of a spec that went and one that came whose texts are compared."""

_FEW_ROWS = 20
"""Rows of a matrix that are checked each on both sides."""

_ALIKE = 0.5
"""The share of equal lines from which a spec with another path and another name is taken for the same one."""


@dataclass(frozen=True)
class _Pair:
    """One spec: its files on disk, None where a side has none, and what stands there before its paths."""

    path: str
    former: str
    base: Path | None
    head: Path | None
    roots: tuple[str, ...]
    two_files: bool

    def documents(self) -> tuple[Document | None, Document | None]:
        return (
            None if self.base is None else read(self.base),
            None if self.head is None else read(self.head),
        )


def compare(chosen: Chosen, at: datetime | None = None) -> Report:
    """The whole comparison. Next wakes are told from `at`, else from the head's time, else the base's."""
    moment = at or chosen.head.at or chosen.base.at
    pairs = list(_pairs(chosen))
    found = in_parallel(_shallow, pairs)
    unchanged = sum(spec.verb == "unchanged" and not spec.is_invalid for spec in found)
    deep = _chosen_to_compile(found)
    work = [(found[index], pairs[index], moment) for index in deep]
    told = dict(zip(deep, in_parallel(_deepened, work, few=6), strict=True))
    specs = [told.get(index, spec) for index, spec in enumerate(found)]
    shown = [spec for spec in specs if spec.verb != "unchanged" or spec.is_invalid or spec.outcome.notes]
    ordered = sorted(shown, key=lambda spec: (-spec.is_invalid, -spec.level, spec.path))
    return Report(chosen.base.label, chosen.head.label, tuple(ordered), unchanged + len(chosen.unchanged))


def texts(chosen: Chosen) -> dict[str, str]:
    """The head's text of each spec that may have changed, by the name that findings have for its file."""
    return {
        path: chosen.head.content(path).decode("utf-8", errors="replace")
        for _, path in chosen.pairs
        if path is not None
    }


def _pairs(chosen: Chosen) -> Iterator[_Pair]:
    former = _placed(chosen.base, (old for old, _ in chosen.pairs))
    latter = _placed(chosen.head, (new for _, new in chosen.pairs))
    for old, new in _matched(chosen, former, latter):
        before = None if old is None else former[old]
        after = None if new is None else latter[new]
        roots = tuple(
            str(place)[: -len(path)] for path, place in ((old, before), (new, after)) if path and place is not None
        )
        yield _Pair(new or old or "", old or "", before, after, roots, chosen.two_files)


def _placed(side: Side, paths: Iterator[str | None]) -> dict[str, Path]:
    """The specs on disk, with the files that they name at their places beside them."""
    specs = [path for path in paths if path is not None]
    side.fetch(specs)
    side.place(dict.fromkeys(named for spec in specs for named in named_by(side, spec)))
    return side.place(specs)


def _matched(
    chosen: Chosen, former: Mapping[str, Path], latter: Mapping[str, Path]
) -> list[tuple[str | None, str | None]]:
    """The pairs, with those that were moved joined: by the spec's name, else by what of the text is the same."""
    gone = [old for old, new in chosen.pairs if new is None and old is not None]
    come = [new for old, new in chosen.pairs if old is None and new is not None]
    joined: dict[str, str] = {}
    if gone and come:
        joined = _of_one_name(gone, come, former, latter)
        left = [path for path in gone if path not in set(joined.values())]
        joined |= _of_like_text(chosen, left, [path for path in come if path not in joined])
    moved = set(joined.values())
    found: list[tuple[str | None, str | None]] = []
    for old, new in chosen.pairs:
        if new is not None and old is None:
            found.append((joined.get(new), new))
        elif new is not None or old not in moved:
            found.append((old, new))
    return found


def _of_one_name(
    gone: Sequence[str], come: Sequence[str], former: Mapping[str, Path], latter: Mapping[str, Path]
) -> dict[str, str]:
    """The former path of each new one whose spec has the same name."""
    named: dict[str, list[str]] = {}
    for path in gone:
        named.setdefault(_name(read(former[path])), []).append(path)
    found = {}
    for path in come:
        alike = named.get(_name(read(latter[path])) or "-")
        if alike:
            found[path] = alike.pop(0)
    return found


def _of_like_text(chosen: Chosen, gone: Sequence[str], come: Sequence[str]) -> dict[str, str]:
    """The former path of each new one whose lines are much the same; none where there are too many to look at all."""
    if len(gone) * len(come) > _MOST_LIKENESSES:
        return {}
    old, new = (
        {path: {line.strip() for line in side.content(path).splitlines() if line.strip()} for path in paths}
        for side, paths in ((chosen.base, gone), (chosen.head, come))
    )
    found: dict[str, str] = {}
    for path, lines in new.items():
        scores = {other: len(lines & theirs) / max(len(lines | theirs), 1) for other, theirs in old.items()}
        best = max(scores, key=lambda other: scores[other], default=None)
        if best is not None and scores[best] >= _ALIKE:
            found[path] = best
            del old[best]
    return found


def _name(document: Document) -> str:
    name = document.data.get("name") if isinstance(document.data, dict) else None
    return name if isinstance(name, str) else ""


def _shallow(pair: _Pair) -> SpecDiff:
    """What changed, without compiling anything."""
    base, head = pair.documents()
    document = head if head is not None else base
    assert document is not None
    name = _name(document)
    if head is None:
        gone = _relabelled(whole_spec(document, "base"), pair.roots)
        return SpecDiff("removed", pair.path, name, (gone,), former=pair.former)
    findings = _findings(head, pair.roots)
    verb = "changed" if base is not None else "added"
    spec = SpecDiff(verb, pair.path, name, findings=findings, former=pair.former)
    if spec.is_invalid:
        return spec
    if base is None:
        return replace(spec, changes=(_relabelled(whole_spec(head, "head"), pair.roots),))
    if not isinstance(base.data, dict):
        why = base.diagnostics[0].message if base.diagnostics else "it is no map"
        return replace(spec, warnings=(f"the former file could not be read, so nothing is compared: {why}",))
    changes = tuple(_relabelled(change, pair.roots) for change in changes_between(base, head))
    moved = pair.former != pair.path and not pair.two_files
    verb = "moved" if moved else "changed" if changes else "unchanged"
    notes = () if changes else _of_order(base, head)
    return replace(spec, verb=verb, changes=changes, outcome=Outcome(notes=notes))


def _of_order(base: Document, head: Document) -> tuple[str, ...]:
    """What to say of a spec that means the same and is compiled to other bytes: names stand in another order in it."""
    old, new = ([loaded.spec for loaded in load_each(document)[0]] for document in (base, head))
    if old == new or None in old:
        return ()
    return ("names stand in another order: the compiled files and the digest change, and no decision does",)


def _findings(document: Document, roots: Sequence[str]) -> tuple[Diagnostic, ...]:
    """What `ctc validate` finds, errors and warnings, with the names of files as people know them."""
    _, found = load_each(document)
    return tuple(_with_names(item, roots) for item in found)


def _of_some_rows(document: Document, roots: Sequence[str]) -> tuple[Diagnostic, ...]:
    """The findings; of a large matrix those of its first row, which is all that two sides are compared by."""
    if len(rows_of(document)) <= _FEW_ROWS:
        return _findings(document, roots)
    environments = environments_of(document) or (None,)
    found = (item for name in environments for item in load_spec(document, name, None, FIRST_ROW).diagnostics)
    return tuple(_with_names(item, roots) for item in dict.fromkeys(found))


def _with_names(item: Diagnostic, roots: Sequence[str]) -> Diagnostic:
    span = None if item.span is None else replace(item.span, file=_short(item.span.file, roots))
    label = item.label
    if label is not None:
        label = replace(label, span=replace(label.span, file=_short(label.span.file, roots)))
    message = item.message
    for root in roots:
        message = message.replace(root, "")
    return replace(item, span=span, label=label, file=_short(item.file, roots), message=message)


def _relabelled(change: Change, roots: Sequence[str]) -> Change:
    return replace(change, place=replace(change.place, file=_short(change.place.file, roots)))


def _short(file: str, roots: Sequence[str]) -> str:
    for root in roots:
        if root and file.startswith(root):
            return file[len(root) :]
    return file


def _chosen_to_compile(found: Sequence[SpecDiff]) -> list[int]:
    """One spec of each group that changed alike, the gravest groups first; all where they are few."""
    changed = [
        index
        for index, spec in enumerate(found)
        if not spec.is_invalid and (spec.changes or spec.verb in ("added", "removed"))
    ]
    if len(changed) <= MOST_COMPILED:
        return changed
    groups: dict[tuple[object, ...], int] = {}
    for index in changed:
        groups.setdefault(found[index].signature, index)
    ordered = sorted(groups.values(), key=lambda index: (-found[index].level, found[index].path))
    return ordered[:MOST_COMPILED]


def _deepened(work: tuple[SpecDiff, _Pair, datetime | None]) -> SpecDiff:
    """A spec with what follows of its changes; wakes are told from the moment given."""
    spec, pair, at = work
    base, head = pair.documents()
    if base is not None and not isinstance(base.data, dict):
        return spec
    former = _of_some_rows(base, pair.roots) if base is not None else ()
    latter = _of_some_rows(head, pair.roots) if base is not None and head is not None else spec.findings
    errors = [item for item in former if item.severity is Severity.ERROR]
    if errors and head is None:
        return replace(spec, warnings=(*spec.warnings, _invalid_base(errors)))
    found = outcome(base, head, at, (former, latter)) if not errors else Outcome()
    warnings = (*spec.warnings, _invalid_base(errors)) if errors else spec.warnings
    return replace(spec, outcome=found, warnings=warnings)


def _invalid_base(errors: Sequence[Diagnostic]) -> str:
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    first = f"{errors[0].code} {masked(errors[0].message)}"
    return f"the former spec had errors, so what it compiled to is not told: {first}{more}"
