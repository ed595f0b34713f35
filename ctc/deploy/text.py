"""A plan as people read it."""

from __future__ import annotations

import itertools
import json
import operator
from collections.abc import Collection, Iterator
from typing import Any

from ctc.deploy.compare import Absent, Field
from ctc.deploy.plan import Plan, Step, Verb

SIGNS = {
    Verb.CREATE: "+",
    Verb.UPDATE: "~",
    Verb.REPLACE: "±",
    Verb.DELETE: "-",
    Verb.REFUSE: "!",
    Verb.CHECK: "?",
    Verb.LEAVE: "=",
    Verb.FORGET: "=",
}

FIELDS = 12
"""So many differences of a resource are shown; `-o json` has all."""

WIDTH = 48
"""Characters of a value that are shown."""


def lines(plan: Plan, *, left: bool = False) -> Iterator[str]:
    """One line for each step that changes something, or says why not, and one for each difference.

    `left` also shows what is left standing on purpose.
    """
    shown = [step for step in plan.steps if step.verb in SIGNS and (left or step.verb is not Verb.LEAVE)]
    width = max((len(step.resource.address) for step in shown), default=0)
    for step in shown:
        notes = [note for note in (step.why, "starts pipelines" if _begins(step) else "") if note]
        told = f"  {SIGNS[step.verb]} {step.verb:<8} {step.resource.address:<{width}}  {'; '.join(notes)}"
        yield told.rstrip()
        yield from _differences(step.fields)


def summary(plan: Plan) -> str:
    """How many of each, in one line."""
    counts = [
        f"{plan.count(verb)} to {verb}"
        for verb in (Verb.CREATE, Verb.UPDATE, Verb.REPLACE, Verb.DELETE)
        if plan.count(verb)
    ]
    kept, refused = plan.count(Verb.KEEP), plan.count(Verb.REFUSE)
    if refused:
        counts.append(f"{refused} refused")
    if counts:
        return f"{', '.join(counts)}, {kept} unchanged"
    return f"nothing to do: {kept} unchanged" if kept else "nothing to do"


def _begins(step: Step) -> bool:
    return step.resource.starts and step.verb in (Verb.CREATE, Verb.REPLACE)


def _differences(fields: Collection[Field]) -> Iterator[str]:
    """The same difference in several fields (a digest, an address) is one line."""
    grouped: dict[str, list[str]] = {}
    for field in fields:
        grouped.setdefault(_change(field), []).append(field.path)
    for change, paths in list(grouped.items())[:FIELDS]:
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        yield f"      {paths[0]}{more}: {change}"
    if len(grouped) > FIELDS:
        yield f"      and {len(grouped) - FIELDS} more differences: -o json has all"


def _change(field: Field) -> str:
    if isinstance(field.was, Absent):
        return f"+ {_short(_text(field.now))}"
    if isinstance(field.now, Absent):
        return f"- {_short(_text(field.was))}"
    was, now = _text(field.was), _text(field.now)
    common = sum(1 for _ in itertools.takewhile(bool, map(operator.eq, was, now)))
    # What both begin with says nothing about the difference, where there is too much of it.
    cut = max(0, common - 12) if max(len(was), len(now)) > WIDTH else 0
    return f"{_short(was, cut)} -> {_short(now, cut)}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _short(text: str, start: int = 0) -> str:
    rest = f"…{text[start:]}" if start else text
    return rest if len(rest) <= WIDTH else f"{rest[: WIDTH - 1]}…"
