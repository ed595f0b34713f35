"""What starts the wake pipeline, by EventBridge Scheduler: a fixed rate, and the instants of each schedule trigger.

Six fields of which the last is the year; Sunday is SUN, and one of the two day fields is `?` (EventBridge Scheduler
user guide, "Schedule types"). Where the clocks change: "your schedule invocation gets skipped if the cron expression
falls on a non-existent date and time", and in the fall it "runs only once and doesn't repeat its invocation" (AWS
re:Post, eventbridge-scheduler-adjust-dst). The language fires a skipped time at the shift: wake knows that instant, and
fires at its next wake.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from ctc.compiler.ir import System
from ctc.language.cron import Cron
from ctc.targets.sagemaker import names

WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_RETRIES = {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 900}
"""The next wake makes up for a lost one, so retrying for a day, the default, would only pile them up."""


def schedules(system: System) -> dict[str, dict[str, Any]]:
    """The CreateSchedule bodies that start the wake pipeline, by file.

    They are called `wake`, and `at-` and the trigger, with `-2` where one takes two.
    """
    made = {"wake": _wakes(system, "wake", rate(system.wakes.every), f"Wakes {system.name}, compiled by ctc.")}
    for trigger, cron, zone in system.wakes.crons:
        about = f"Wakes {system.name} for {trigger}, compiled by ctc."
        for own, expression in zip(own_names(trigger, cron), dialect(cron), strict=True):
            made[own] = {**_wakes(system, own, expression, about), "ScheduleExpressionTimezone": zone}
    return made


def own_names(trigger: str, cron: str) -> tuple[str, ...]:
    """What the schedules of a trigger are called after the system's name."""
    return tuple(f"at-{trigger}{'' if number == 1 else f'-{number}'}" for number in range(1, len(dialect(cron)) + 1))


def schedule(system: System, own: str, expression: str, target: Mapping[str, Any], about: str) -> dict[str, Any]:
    """A CreateSchedule body; the target is called by the scheduler's role."""
    return {
        "Name": names.schedule_name(system, own),
        "Description": about,
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "Target": {**target, "RoleArn": names.role_arn(system, "scheduler"), "RetryPolicy": dict(_RETRIES)},
    }


def _wakes(system: System, own: str, expression: str, about: str) -> dict[str, Any]:
    """With the instant that was scheduled, not the one of delivery."""
    told = [{"Name": "Instant", "Value": "<aws.scheduler.scheduled-time>"}]
    target = {
        "Arn": names.pipeline_arn(system, "wake"),
        "SageMakerPipelineParameters": {"PipelineParameterList": told},
    }
    return schedule(system, own, expression, target, about)


def rate(every: timedelta) -> str:
    """`rate(6 hours)`. EventBridge Scheduler counts in whole minutes, hours or days."""
    minutes = max(1, int(every.total_seconds()) // 60)
    value, unit = minutes, "minute"
    if minutes % 1440 == 0:
        value, unit = minutes // 1440, "day"
    elif minutes % 60 == 0:
        value, unit = minutes // 60, "hour"
    return f"rate({value} {unit}{'' if value == 1 else 's'})"


@functools.lru_cache(maxsize=64)
def dialect(cron: str) -> tuple[str, ...]:
    """Expressions of the service that together fire when `cron` does. ValueError where none do.

    A day of the month or a day of the week, either of which is enough, becomes one expression for each. Both at once,
    which crontab means by a step in one field, cannot be said: one of the two fields must be `?`.
    """
    parsed = Cron.parse(cron)
    clock = f"{_list(parsed.minutes, 60)} {_list(parsed.hours, 24)}"
    months, days, weekdays = _list(parsed.months, 12), _list(parsed.days, 31), _weekdays(parsed.weekdays)
    if parsed.either_day:
        return f"cron({clock} {days} {months} ? *)", f"cron({clock} ? {months} {weekdays} *)"
    if days != "*" and weekdays != "*":
        raise ValueError(f"{cron!r} asks for days that are in both of its day fields")
    if weekdays != "*":
        return (f"cron({clock} ? {months} {weekdays} *)",)
    return (f"cron({clock} {days} {months} ? *)",)


def _weekdays(values: Iterable[int]) -> str:
    found = sorted(values)
    return "*" if len(found) == len(WEEKDAYS) else ",".join(WEEKDAYS[value] for value in found)


def _list(values: Iterable[int], count: int) -> str:
    """`*`, or the numbers, three and more in a row as a range: an expression has 256 characters."""
    found = sorted(values)
    return "*" if len(found) == count else ",".join(_runs(found))


def _runs(values: list[int]) -> Iterator[str]:
    start = 0
    while start < len(values):
        end = start
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        if end - start > 1:
            yield f"{values[start]}-{values[end]}"
        else:
            yield from map(str, values[start : end + 1])
        start = end + 1
