"""What is counted and estimated of a spec before and after: wakes, runs, and what its gates can tell.

The estimates are those of `ctc validate` (`ctc/language/power.py`). Where they say nothing, this says `not estimated`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from ctc.diff.model import Number
from ctc.language.attempts import attempts_per_year, starting_triggers
from ctc.language.cron import Cron
from ctc.language.power import GateEstimate, estimates, promotions_of_equals
from ctc.language.spec import ScheduleTrigger, Spec
from ctc.policy.windows import BEGINNING, Windows

NOT_ESTIMATED = "not estimated"
NONE = "none"
_NEXT = 3
_AHEAD = timedelta(days=800)
"""How far ahead a schedule is looked for: the 29th of February comes within eight years, and is said to be far."""


def numbers_between(base: Spec | None, head: Spec | None, at: datetime | None, where: str) -> tuple[Number, ...]:
    """What is another number now; of a spec that is new or gone all of them. `at` is the moment wakes are told from."""
    old, new = (dict(_numbers(spec, at)) if spec is not None else {} for spec in (base, head))
    whole = base is None or head is None
    return tuple(
        Number(what, where, old.get(what, NONE), new.get(what, NONE))
        for what in dict.fromkeys([*new, *old])
        if old.get(what, NONE) != new.get(what, NONE)
        and not (whole and NOT_ESTIMATED in (old.get(what), new.get(what)))
    )


def _numbers(spec: Spec, at: datetime | None) -> Iterator[tuple[str, str]]:
    if at is not None:
        yield f"next wakes by schedule after {at:%Y-%m-%d %H:%M} UTC", _next(spec, at)
        windows = Windows.at(_section(spec), at)
        yield f"a run at {at:%Y-%m-%d %H:%M} UTC learns from", _stretch(windows.train_start, windows.train_end)
        yield f"a run at {at:%Y-%m-%d %H:%M} UTC is judged on", _judged(windows)
    yield "wakes", f"every {_span(spec.trigger_policy.wake_every)}"
    yield "runs a month", _runs(spec)
    found = estimates(spec)
    for gate in found:
        yield f"gate {gate.gate}: confidence of its test", f"{100 * gate.confidence:.5g}%"
        yield f"gate {gate.gate}: smallest difference of {gate.metric} that it sees", _sees(gate)
        yield f"gate {gate.gate}: equally good models that pass", _passing(gate)
    equals = promotions_of_equals(spec, found)
    yield (
        "false promotions a year",
        NOT_ESTIMATED if equals is None else f"at most {equals:,.0f}" if equals >= 10 else f"at most {equals:.2g}",
    )


def _next(spec: Spec, at: datetime) -> str:
    """The instants at which a schedule fires next, of all triggers together."""
    instants = sorted(
        {
            instant
            for trigger in starting_triggers(spec)
            if isinstance(trigger.spec, ScheduleTrigger)
            for instant in _fires(trigger.spec, at)
        }
    )
    return ", ".join(f"{instant:%a %Y-%m-%d %H:%M}" for instant in instants[:_NEXT]) or NONE


def _section(spec: Spec) -> dict[str, object]:
    """What the windows of a run depend on, in seconds."""
    retraining, holdout = spec.retraining, spec.retraining.holdout
    kinds = {"time": holdout.time, "hash": holdout.hash, "column": holdout.column, "source": holdout.source}
    return {
        "known_after": 0.0 if spec.label is None else spec.label.known_after.total_seconds(),
        "holdout_kind": next(kind for kind, value in kinds.items() if value is not None),
        "holdout": 0.0 if holdout.time is None else holdout.time.total_seconds(),
        "gap": retraining.gap.total_seconds(),
        "window": None if retraining.window is None else retraining.window.total_seconds(),
        "since": retraining.since,
    }


def _stretch(start: datetime, end: datetime) -> str:
    first = "the beginning" if start == BEGINNING else f"{start:%Y-%m-%d %H:%M}"
    return "nothing" if start >= end else f"{first} to {end:%Y-%m-%d %H:%M}"


def _judged(windows: Windows) -> str:
    rows = "" if windows.kind == "time" else f", the rows held out by {windows.kind}"
    return _stretch(windows.holdout_start, windows.holdout_end) + rows


def _fires(schedule: ScheduleTrigger, at: datetime) -> Iterator[datetime]:
    parsed = Cron.parse(schedule.cron)
    if not parsed.never_fires():
        yield from islice(parsed.instants(at.astimezone(UTC), at.astimezone(UTC) + _AHEAD, schedule.timezone), _NEXT)


def _runs(spec: Spec) -> str:
    if spec.mode == "observe":
        return "0 (mode observe)"
    attempts = attempts_per_year(spec)
    if attempts is None:
        return f"{NOT_ESTIMATED}: only data decides, and neither cooldown nor max_runs bounds it"
    schedules = all(isinstance(trigger.spec, ScheduleTrigger) for trigger in starting_triggers(spec))
    return f"{'' if schedules else 'at most '}{attempts / 12:.3g}"


def _sees(gate: GateEstimate) -> str:
    return NOT_ESTIMATED if gate.detectable is None else f"{gate.detectable:.2g}"


def _passing(gate: GateEstimate) -> str:
    if gate.passes_if_equal is None:
        return NOT_ESTIMATED
    share = 100 * gate.passes_if_equal
    return f"{share:.0f}%" if share >= 10 else f"{share:.2g}%"


def _span(value: timedelta) -> str:
    """`1h`, `1d12h`, as a spec writes it."""
    seconds = int(value.total_seconds())
    text = ""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        text += f"{count}{unit}" if count else ""
    return text or "0s"
