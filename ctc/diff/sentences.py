"""Sentences that every format says alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ctc.diagnostics import Severity
from ctc.diff.group import Group
from ctc.diff.model import Change, Resources, SpecDiff
from ctc.report import masked

_STATES = 5
"""States of one change that are named."""

_SHOWN = 6
"""Resources of one kind of action that are named."""


def where_of(names: Sequence[str]) -> tuple[str, ...]:
    """The states in which something holds, the first of many."""
    if len(names) <= _STATES:
        return tuple(names)
    cut = len(names) - _STATES + 1
    last = names[-1] if names[-1].startswith("with ") else ""
    return (*names[: _STATES - 1], *((f"{cut - 1:,} more", last) if last else (f"{cut:,} more",)))


def place_of(change: Change) -> str:
    """`line 46`, `line 12 of countries.csv`, `former line 9`; empty where there is none."""
    if not change.place.line:
        return ""
    return f"former line {change.place.line}" if change.place.side == "base" else f"line {change.place.line}"


def resources_of(item: Resources, all_named: bool = False) -> str:
    """`2 updated (pipeline train, pipeline wake), 8 with another digest only`."""
    if item.unknown:
        return f"not told: {item.unknown}"
    parts = []
    for word, names in (
        ("created", item.created),
        ("updated", item.updated),
        ("replaced", item.replaced),
        ("deleted", item.deleted),
        ("left behind until `ctc destroy`", item.left),
    ):
        if names:
            shown = names if all_named else names[:_SHOWN]
            more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
            parts.append(f"{len(names)} {word} ({', '.join(shown)}{more})")
    if item.relabelled:
        parts.append(f"{item.relabelled} with another digest only")
    told = ", ".join(parts) or "nothing"
    return f"{told}; what stands under the former name or place stays" if item.replaced else told


def deployment(item: Resources) -> str:
    """`prod on sagemaker`."""
    return f"{item.where} on {item.target}" if item.where else item.target


def title(spec: SpecDiff) -> str:
    """What became of a spec, for those that did not just change."""
    if spec.verb == "moved":
        return f"moved from {spec.former}"
    return {"added": "new", "removed": "removed"}.get(spec.verb, "")


def consequence(spec: SpecDiff) -> str:
    """What is to be said of a spec that has no changes of its own."""
    if spec.verb == "moved" and not spec.changes:
        return "another path, the same spec: nothing that is deployed changes"
    return ""


def errors_of(spec: SpecDiff) -> Iterator[str]:
    """What is wrong with the head, a line each, for where frames cannot be shown."""
    for item in spec.findings:
        if item.severity is Severity.ERROR:
            line = f"line {item.span.line}: " if item.span is not None else ""
            yield f"{line}{item.code}: {masked(item.message)}" + (f" ({masked(item.help)})" if item.help else "")


def only_of_one(group: Group) -> str:
    """Whose resources are told, where a group has more than one spec."""
    if len(group.specs) < 2:
        return ""
    return f"as in {group.shown.path}"


def paths_of(group: Group) -> Iterator[str]:
    yield from sorted(spec.path for spec in group.specs)
