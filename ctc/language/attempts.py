"""How often a spec may train: its schedules over a fixed year, and the policy that holds them back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice

from ctc.language.cron import Cron
from ctc.language.spec import ManualTrigger, ScheduleTrigger, Spec, Trigger, TriggerPolicy

YEAR = timedelta(days=365)

_FROM = datetime(2025, 1, 1, tzinfo=UTC)
_ENOUGH = 9000
"""More firings than the hours of a year: what is faster than that is scaled."""

_ROUNDING = 1e-12
"""Far more than binary arithmetic errs by, and far less than a hundredth of any amount."""

_COUNTLESS = 10**9
"""More runs than any deployment has, and few enough for float arithmetic."""


def attempts_per_year(spec: Spec) -> float | None:
    """The most attempts that may start in a year. None where only data or an alert decides, and no policy bounds it.

    What people start by hand is not counted.
    """
    starting = tuple(starting_triggers(spec))
    if spec.mode == "observe" or not starting:
        return 0.0
    if all(isinstance(trigger.spec, ScheduleTrigger) for trigger in starting):
        return scheduled_per_year(spec)
    return _bound(spec.trigger_policy, starting)


def most_attempts_per_year(spec: Spec) -> float:
    """As `attempts_per_year`; where nothing bounds it, one at each wake, or whenever the cooldown is over."""
    known = attempts_per_year(spec)
    if known is not None:
        return known
    policy = spec.trigger_policy
    return YEAR / max(policy.cooldown, policy.wake_every, timedelta(seconds=1))


def starting_triggers(spec: Spec) -> Iterator[Trigger]:
    """The enabled triggers that start training by themselves."""
    for trigger in spec.triggers:
        if trigger.enabled and trigger.then == "retrain" and not isinstance(trigger.spec, ManualTrigger):
            yield trigger


def scheduled(spec: Spec) -> tuple[datetime, ...]:
    """The instants of a year at which a schedule starts an attempt, after `cooldown` and `max_runs`."""
    firings = [
        (instant, trigger.exempt)
        for trigger in starting_triggers(spec)
        if isinstance(trigger.spec, ScheduleTrigger)
        for instant in _firings(trigger.spec.cron, trigger.spec.timezone)
    ]
    return tuple(_allowed(sorted(firings), spec.trigger_policy))


def scheduled_per_year(spec: Spec) -> float:
    """How many attempts the schedules alone start in a year, after `cooldown` and `max_runs`."""
    instants = scheduled(spec)
    return len(instants) * _scale(instants)


def firings_per_year(cron: str, timezone: str) -> float:
    """How often an expression fires in a year."""
    instants = _firings(cron, timezone)
    return len(instants) * _scale(instants)


def runs_that_fit(month: float, run: float) -> int:
    """How many runs of an amount a monthly one pays for; amounts are decimal, so that 0.30 pays for three of 0.10."""
    return math.floor(month / run * (1 + _ROUNDING))


def _allowed(firings: Sequence[tuple[datetime, bool]], policy: TriggerPolicy) -> Iterator[datetime]:
    recent: deque[datetime] = deque(maxlen=None if policy.max_runs is None else min(policy.max_runs.count, _ENOUGH * 2))
    last: datetime | None = None
    for instant, exempt in firings:
        if last is not None and (instant == last or (not exempt and instant - last < policy.cooldown)):
            continue
        if policy.max_runs is not None and len(recent) == recent.maxlen and instant - recent[0] < policy.max_runs.per:
            continue
        recent.append(instant)
        last = instant
        yield instant


def _bound(policy: TriggerPolicy, starting: Sequence[Trigger]) -> float | None:
    """What the policy allows; a trigger that is exempt is not held back by the cooldown."""
    limits = []
    if policy.max_runs is not None and policy.max_runs.per > timedelta(0):
        limits.append(min(policy.max_runs.count, _COUNTLESS) * (YEAR / policy.max_runs.per))
    exempt = [trigger.spec for trigger in starting if trigger.exempt]
    crons = [kind for kind in exempt if isinstance(kind, ScheduleTrigger)]
    if policy.cooldown > timedelta(0) and len(crons) == len(exempt):
        beside = sum(firings_per_year(kind.cron, kind.timezone) for kind in crons)
        limits.append(YEAR / policy.cooldown + beside)
    return min(limits) if limits else None


def _scale(instants: Sequence[datetime]) -> float:
    """1, or by how much a year is longer than what was counted of it."""
    return YEAR / (instants[-1] - _FROM) if len(instants) >= _ENOUGH else 1.0


@cache
def _firings(cron: str, timezone: str) -> tuple[datetime, ...]:
    """Those of a year; none where another code speaks of the expression or the zone."""
    try:
        parsed = Cron.parse(cron)
        if parsed.never_fires():
            return ()
        return tuple(islice(parsed.instants(_FROM, _FROM + YEAR, timezone), _ENOUGH))
    except ValueError:
        return ()
