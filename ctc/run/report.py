"""The report: every cycle of a deployment on one self-contained HTML page, the same bytes for the same records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctc.run.chart import chart
from ctc.run.records import Cycle, Focus, Outcome, Record, Reign, cycles, mapping, number, reigns
from ctc.run.text import (
    NOTHING,
    amount,
    by_slice,
    check_answer,
    check_passed,
    comparison,
    decision,
    estimate,
    numbers,
    rows,
    slice_rows,
    when,
    windows,
)

_WAKES = ("suppressed", "changed")
"""The cycles of a wake alone."""

_OUTCOMES: tuple[Outcome, ...] = (
    *("promoted", "candidate", "held", "stopped", "failed", "lost", "suppressed", "changed", "running"),
    *("scored", "empty"),
)


@dataclass(frozen=True)
class Subject:
    """What the page is about. `picture` is the drawing of the spec, as `ctc graph` has it; empty for none."""

    name: str
    description: str
    environment: str
    target: str
    focus: Focus
    picture: str = ""


@dataclass(frozen=True)
class _Course:
    """A champion's time, as the page tells it."""

    version: str
    promoted: str
    value: str
    last: str
    last_seen: str
    change: str
    worse: bool
    judged: int
    replaced: str


def render(subject: Subject, records: Sequence[Record], state: Record | None) -> str:
    """The page. `state` is the state document, None where there is none or it cannot be read."""
    found = cycles(records)
    attempts = [cycle for cycle in found if cycle.outcome not in _WAKES and not cycle.scored]
    counts = Counter(cycle.outcome for cycle in found)
    template = _template()
    page: str = template.render(
        subject=subject,
        cycles=found,
        attempts=len(attempts),
        counts=[(name, counts[name]) for name in _OUTCOMES if counts[name]],
        champion=mapping(state, "champion"),
        last_wake=when(str((state or {}).get("last_wake") or "")),
        period=(when(found[0].instant), when(found[-1].instant)) if found else None,
        chart=_safe(chart(attempts, subject.focus)),
        picture=_safe(subject.picture),
        courses=_courses(attempts, subject.focus),
        story=_story(attempts, subject.focus),
    )
    return page


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        amount=amount,
        by_slice=by_slice,
        check_answer=check_answer,
        check_passed=check_passed,
        comparison=comparison,
        decision=decision,
        estimate=estimate,
        mapping=mapping,
        nothing=NOTHING,
        numbers=numbers,
        row_counts=_row_counts,
        rows=rows,
        slice_rows=slice_rows,
        when=when,
        windows=windows,
    )
    return environment.get_template("report.html.j2")


def _safe(svg: str) -> Any:
    """Marks text as HTML: what draws escapes every word that comes from a record or a spec."""
    import markupsafe

    return markupsafe.Markup(svg)


def _row_counts(cycle: Cycle) -> list[tuple[str, str]]:
    return [(f"{name} rows", f"{count:,}") for name, count in cycle.rows.items()]


def _courses(found: Sequence[Cycle], focus: Focus) -> list[_Course]:
    return [_course(reign, found, focus) for reign in reigns(found, focus.metric)]


def _course(reign: Reign, found: Sequence[Cycle], focus: Focus) -> _Course:
    (first, value), (last, latest) = reign.points[0], reign.points[-1]
    judged = len(reign.points) - 1
    change = latest - value
    crowned = found[first].outcome == "promoted" and found[first].version == reign.version
    return _Course(
        version=reign.version,
        promoted=when(found[first].instant) if crowned else "before these cycles",
        value=amount(value),
        last=amount(latest) if judged else NOTHING,
        last_seen=when(found[last].instant) if judged else NOTHING,
        change=amount(change, sign=True) if judged else NOTHING,
        worse=judged > 0 and _worse(change, focus),
        judged=judged,
        replaced=f"by {reign.replaced_by}" if reign.replaced_by else "reigns",
    )


def _worse(change: float, focus: Focus) -> bool:
    """Never where neither direction is better."""
    return change < 0 if focus.better == "higher" else change > 0 and focus.better == "lower"


def _story(found: Sequence[Cycle], focus: Focus) -> list[str]:
    """What became of the champions, in sentences whose numbers are in the tables."""
    sentences = []
    aged = [reign for reign in reigns(found, focus.metric) if len(reign.points) > 1]
    fell = [reign for reign in aged if _worse(reign.points[-1][1] - reign.points[0][1], focus)]
    if aged and focus.better != "neither":
        sentences.append(
            f"{len(fell)} of {len(aged)} champions were worse on the last rows that judged them than on those that "
            "promoted them."
        )
    if fell:
        worst = max(fell, key=lambda reign: abs(reign.points[-1][1] - reign.points[0][1]))
        (first, before), (last, after) = worst.points[0], worst.points[-1]
        sentences.append(
            f"Version {worst.version} changed most: {focus.metric} {amount(before)} at {when(found[first].instant)}, "
            f"{amount(after)} at {when(found[last].instant)}."
        )
    gains = [gain for cycle in found if (gain := number(cycle.comparison(focus.gate).get("gain"))) is not None]
    better = sum(gain > 0 for gain in gains)
    if gains:
        sentences.append(f"The contender was ahead of the champion in {better} of {len(gains)} comparisons.")
    return sentences
