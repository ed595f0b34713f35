"""When wakes start: a recurrence for `wake_every`, and the instants of each cron in words that the service has.

The service's cron has no days of the month and no months ("ignored and treated as *": "Schedule machine learning
pipeline jobs"), its recurrence has days of the month and no months. So a cron becomes one of either, or one of each
where any of its two day fields is enough. Months are left out: the service then wakes in the others too, and the wake,
which knows the cron, does nothing. Fields are plain lists of numbers, which all dialects read alike.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

from ctc.compiler.ir import System
from ctc.language.cron import Cron
from ctc.targets.azureml.tags import tags
from ctc.targets.azureml.zones import windows_zone

MINUTE = timedelta(minutes=1)
FIRST_DAY = "2024-01-01T00:00:00"
"""From when recurrences count, in UTC: a schedule without a start would run once as it is made."""


def schedules(system: System) -> dict[str, dict[str, Any]]:
    """The schedules by file name, without `.yml`: `every`, and those of each trigger, `on-NAME` and `days-NAME`."""
    made = {"every": _schedule(system, "every", recurrence(system.wakes.every))}
    for name, cron, zone in system.wakes.crons:
        for trigger in dialect(cron, zone):
            own = f"{'on' if trigger['type'] == 'cron' else 'days'}-{name}"
            made[own] = _schedule(system, own, trigger)
    return made


def recurrence(every: timedelta) -> dict[str, Any]:
    """The recurrence of a whole number of minutes, in the largest unit that divides it, counted from `FIRST_DAY`.

    ValueError for a period that is no whole number of minutes.
    """
    if every < MINUTE or every % MINUTE:
        raise ValueError(f"{every} is no whole number of minutes")
    minutes = every // MINUTE
    unit, length = next(item for item in (("day", 1440), ("hour", 60), ("minute", 1)) if minutes % item[1] == 0)
    return {
        "type": "recurrence",
        "frequency": unit,
        "interval": minutes // length,
        "start_time": FIRST_DAY,
        "time_zone": "UTC",
    }


@functools.lru_cache(maxsize=64)
def dialect(cron: str, zone: str) -> tuple[dict[str, Any], ...]:
    """The triggers that together fire at every instant of a cron of five fields in an IANA zone, months left out.

    ValueError where the service has none: for a zone that Windows does not have, and for days that must be in both day
    fields, which crontab means by a step in one of them.
    """
    parsed = Cron.parse(cron)
    windows = windows_zone(zone)
    if windows is None:
        raise ValueError(f"the service knows the time zones of Windows only, and none of them has the clocks of {zone}")
    days, weekdays = sorted(parsed.days), sorted(parsed.weekdays)
    every_day, every_weekday = len(days) == 31, len(weekdays) == 7
    by_weekday = {
        "type": "cron",
        "expression": f"{_list(parsed.minutes, 60)} {_list(parsed.hours, 24)} * * {_list(weekdays, 7)}",
        "time_zone": windows,
    }
    by_day = {
        "type": "recurrence",
        "frequency": "month",
        "interval": 1,
        "start_time": FIRST_DAY,
        "time_zone": windows,
        "schedule": {"hours": list(parsed.hours), "minutes": list(parsed.minutes), "month_days": days},
    }
    if parsed.either_day:
        return (by_weekday, by_day)
    if every_day:
        return (by_weekday,)
    if every_weekday:
        return (by_day,)
    raise ValueError(f"{cron!r} asks for days that are in both of its day fields")


def _list(values: Any, count: int) -> str:
    return "*" if len(values) == count else ",".join(map(str, values))


def _schedule(system: System, name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/schedule.schema.json",
        "name": f"{system.wake.name}-{name}",
        "display_name": f"{system.wake.name}-{name}",
        "description": f"Wakes {system.name}, compiled by ctc.",
        "tags": tags(system),
        "trigger": trigger,
        "create_job": "../pipelines/wake.yml",
    }
