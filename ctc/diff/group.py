"""Specs that changed alike, told once."""

from __future__ import annotations

from dataclasses import dataclass

from ctc.diff.model import Change, Outcome, Report, SpecDiff

_WORDS = {"added": "added", "removed": "removed", "moved": "moved", "changed": "changed", "unchanged": "unchanged"}


@dataclass(frozen=True)
class Group:
    """Specs with the same changes. `shown` is the one whose places are told; what was compiled is of that one."""

    specs: tuple[SpecDiff, ...]
    shown: SpecDiff

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.shown.changes

    @property
    def outcome(self) -> Outcome:
        return self.shown.outcome

    @property
    def why(self) -> str:
        """The first and gravest reason, for a sentence: `88 update because ...`."""
        return self.changes[0].path if self.changes else ""


def groups(report: Report) -> tuple[Group, ...]:
    """The specs of a report, those that changed alike together; the gravest first. Invalid ones stand alone."""
    found: dict[object, list[SpecDiff]] = {}
    for spec in report.specs:
        alone = spec.is_invalid or not spec.changes or bool(spec.warnings)
        found.setdefault(spec.path if alone else (spec.verb, spec.signature), []).append(spec)
    return tuple(Group(tuple(specs), next((it for it in specs if _told(it)), specs[0])) for specs in found.values())


def _told(spec: SpecDiff) -> bool:
    outcome = spec.outcome
    return bool(outcome.resources or outcome.numbers or outcome.notes)


def headline(report: Report) -> str:
    """`2 specs changed, 3,412 unchanged`."""
    counts = {word: sum(spec.verb == verb for spec in report.specs) for verb, word in _WORDS.items()}
    counts["unchanged"] = report.unchanged
    (word, number), *rest = [item for item in counts.items() if item[1]] or [("unchanged", 0)]
    first = f"{number:,} {'spec' if number == 1 else 'specs'} {word}"
    return ", ".join([first, *(f"{number:,} {word}" for word, number in rest)])


def levels(report: Report) -> str:
    """`1 high, 2 medium`; empty where nothing changed."""
    counted: dict[str, int] = {}
    for change in sorted((change for _, change in report.changes()), key=lambda it: -it.level):
        counted[change.level.word] = counted.get(change.level.word, 0) + 1
    return ", ".join(f"{number:,} {word}" for word, number in counted.items())


def because(group: Group) -> str:
    """`88 specs changed because of promotion.gates.floor.range.min and 2 more`; empty for a group of one."""
    if len(group.specs) < 2:
        return ""
    if group.shown.verb in ("added", "removed"):
        return f"{len(group.specs):,} specs {group.shown.verb}, such as {group.shown.path}"
    more = f" and {len(group.changes) - 1} more" if len(group.changes) > 1 else ""
    return f"{len(group.specs):,} specs {group.shown.verb} because of {group.why}{more}"
