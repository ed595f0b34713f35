"""How often things happen in a month: wakes, runs, batch jobs.

A month is a twelfth of 365 days, 730 hours. Low: every run is suppressed. Expected: what the schedules start. Worst:
every wake starts a run, as far as `cooldown`, `max_runs` and the budget let it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from ctc.compiler import batch
from ctc.compiler.ir import System
from ctc.cost.amounts import NOTHING, Amount, Range, always, exactly, total, unknown
from ctc.cost.durations import Recorded
from ctc.language.attempts import (
    YEAR,
    attempts_per_year,
    firings_per_year,
    runs_that_fit,
    scheduled_per_year,
    starting_triggers,
)
from ctc.language.spec import EventTrigger, ScheduleTrigger, Spec
from ctc.value import Value, frozen

MONTHS = 12
HOURS_A_MONTH = 730.0
"""24 x 365 / 12."""

_OFTEN = "how often data or alerts start a run (records of past runs tell)"
_ALERTS = "how often alerts come"


@frozen
class Counts(Value):
    """In a month. `jobs` are the batch jobs by the kind of their pipeline. `notes` say how the numbers came about."""

    wakes: Range
    runs: Range
    jobs: Mapping[str, Range]
    notes: tuple[str, ...]


def counts_of(spec: Spec, system: System, recorded: Recorded) -> Counts:
    crons = () if system.target == "kubeflow" else system.wakes.crons
    every = YEAR / max(system.wakes.every, timedelta(seconds=1))
    wakes = every + sum(firings_per_year(cron, zone) for _, cron, zone in crons)
    runs, notes = _runs(spec, wakes, recorded)
    by_alert = [trigger.name for trigger in spec.triggers if isinstance(trigger.spec, EventTrigger) and trigger.enabled]
    regular = exactly(wakes / MONTHS)
    worst = total((regular, unknown(_ALERTS))) if by_alert else regular
    told = [f"wakes: {every / MONTHS:.4g} a month by `trigger_policy.wake_every`"]
    if crons:
        told.append(f"and {(wakes - every) / MONTHS:.4g} at the instants of crons")
    if by_alert:
        told.append(f"those that {', '.join(by_alert)} cause are not counted")
    return Counts(
        wakes=Range(regular, regular, worst),
        runs=runs,
        jobs={batch.kind(entry): always(_firings(spec, entry.batch)) for entry in batch.entries(spec)},
        notes=("; ".join(told), *notes),
    )


def _firings(spec: Spec, job: object) -> Amount:
    schedule = getattr(job, "schedule", None)
    if spec.mode == "observe" or not isinstance(schedule, ScheduleTrigger):
        return NOTHING
    return exactly(firings_per_year(schedule.cron, schedule.timezone) / MONTHS)


def _runs(spec: Spec, wakes: float, recorded: Recorded) -> tuple[Range, tuple[str, ...]]:
    starting = tuple(starting_triggers(spec))
    if spec.mode == "observe" or not starting:
        why = "the mode is observe" if spec.mode == "observe" else "no trigger starts one by itself"
        return always(NOTHING), (f"runs: none, as {why}",)
    worst, bound = _worst(spec, wakes)
    expected, basis = _expected(spec, recorded)
    left_out = "what people start by hand is not counted, nor a second launch of a run that died"
    notes = (
        "runs, low: none, every one is suppressed",
        f"runs, expected: {basis}",
        f"runs, worst: {bound}; two never overlap; {left_out}",
    )
    return Range(NOTHING, expected.at_most(worst) if not expected.lacks else expected, worst), notes


def _expected(spec: Spec, recorded: Recorded) -> tuple[Amount, str]:
    starting = tuple(starting_triggers(spec))
    others = [trigger.name for trigger in starting if not isinstance(trigger.spec, ScheduleTrigger)]
    seen = recorded.attempts_per_year
    if others and seen is not None:
        return exactly(seen / MONTHS), f"{seen / MONTHS:.4g} a month, as {len(recorded.attempts)} records have it"
    if len(others) == len(starting):
        return unknown(_OFTEN), f"not estimated: only data or alerts start them ({', '.join(others)})"
    count = scheduled_per_year(spec) / MONTHS
    beside = f"; {', '.join(others)} add none to that" if others else ""
    return exactly(count), f"{count:.4g} a month by the schedules, after cooldown and max_runs{beside}"


def _worst(spec: Spec, wakes: float) -> tuple[Amount, str]:
    """The least of all bounds; where alerts wake and nothing else bounds them there is none."""
    bounds = tuple(_bounds(spec, wakes))
    if not bounds:
        return unknown(_ALERTS), "as many as alerts come, with neither a cooldown nor max_runs"
    count, words = min(bounds)
    return exactly(count / MONTHS), f"{count / MONTHS:.4g} a month, {words}"


def _bounds(spec: Spec, wakes: float) -> Iterator[tuple[float, str]]:
    """Runs a year, and what lets no more start."""
    starting = tuple(starting_triggers(spec))
    known = attempts_per_year(spec)
    if known is not None:
        yield known, "by the schedules, cooldown and max_runs"
    if not any(isinstance(trigger.spec, EventTrigger) for trigger in starting):
        yield wakes, "one at every wake"
    cost = spec.cost
    if cost is None or cost.max_per_month is None or cost.max_per_run is None or not cost.max_per_run.amount:
        return
    if not any(trigger.exempt for trigger in starting):
        fit = runs_that_fit(cost.max_per_month.amount, cost.max_per_run.amount)
        yield float(fit * MONTHS), "as `cost` sets aside max_per_run for each of them"
