"""What starts the wake pipeline: bodies of `projects.locations.schedules.create` (Vertex AI REST v1).

Every `wake_every`, in UTC, and at the instants of each schedule trigger, in its own zone, those of a change of its
clocks in UTC (`clocks`). A cron is written as plain lists of numbers, which all dialects read alike: Vertex documents
neither names nor steps, nor Sunday as 7, nor what both day fields together mean.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ctc.compiler.ir import System
from ctc.language.cron import Cron
from ctc.targets.vertex.clocks import at_clock_changes

DAY, WEEK, MINUTE = timedelta(days=1), timedelta(weeks=1), timedelta(minutes=1)


def schedules(system: System, job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The bodies that start `job`, the wake pipeline's, by a name for each.

    They are called `every`, and as the triggers and `clocks-` and those, with `-2` and so on where one takes several.
    """
    return {own: _schedule(system, own, cron, job) for own, _, cron in named(system)}


def named(system: System) -> Iterator[tuple[str, str, str]]:
    """What each schedule is called, whose it is (a cron's name, or nothing) and its cron. Two called alike are one."""
    for owner, name, crons in (("", "every", every(system.wakes.every)), *_triggers(system)):
        for number, cron in enumerate(crons, 1):
            yield name if number == 1 else f"{name}-{number}", owner, cron


def parent(system: System) -> str:
    """The resource below which everything of this system is."""
    return f"projects/{system.settings['project']}/locations/{system.settings['region']}"


def every(period: timedelta) -> tuple[str, ...]:
    """Crons that together fire once every `period`, counted from midnight UTC, or from Monday's for a week.

    ValueError for a period that no set of crons has: one that does not divide a day, and is no week.
    """
    if period == WEEK:
        return ("TZ=UTC 0 0 * * 1",)
    if period < MINUTE or period % MINUTE or DAY % period:
        raise ValueError(f"{period} is no whole number of minutes that divides a day")
    step = period // MINUTE
    hours: dict[int, set[int]] = {}
    for minute in range(0, 1440, step):
        hours.setdefault(minute % 60, set()).add(minute // 60)
    alike: dict[tuple[int, ...], list[int]] = {}
    for minute, at in hours.items():
        alike.setdefault(tuple(sorted(at)), []).append(minute)
    return tuple(sorted(f"TZ=UTC {_list(minutes, 60)} {_list(at, 24)} * * *" for at, minutes in alike.items()))


def nearest(period: timedelta) -> timedelta:
    """The longest period up to this one that crons can have; a minute if there is none."""
    if period >= WEEK:
        return WEEK
    steps = (minutes for minutes in range(1, 1441) if 1440 % minutes == 0 and minutes * MINUTE <= period)
    return max(steps, default=1) * MINUTE


@functools.lru_cache(maxsize=64)
def dialect(cron: str, zone: str) -> tuple[str, ...]:
    """Crons of the service that together fire when `cron` does. ValueError where none do.

    A day of the month or a day of the week, either of which is enough, becomes one cron for each: no dialect then has
    to know that rule. Both at once, which crontab means by a step in one field, cannot be said.
    """
    parsed = Cron.parse(cron)
    minutes, hours = _list(parsed.minutes, 60), _list(parsed.hours, 24)
    months, days = _list(parsed.months, 12), _list(parsed.days, 31)
    weekdays = _list(parsed.weekdays, 7)
    if parsed.either_day:
        return (
            f"TZ={zone} {minutes} {hours} {days} {months} *",
            f"TZ={zone} {minutes} {hours} * {months} {weekdays}",
        )
    if days != "*" and weekdays != "*":
        raise ValueError(f"{cron!r} asks for days that are in both of its day fields")
    return (f"TZ={zone} {minutes} {hours} {days} {months} {weekdays}",)


def _list(values: Any, count: int) -> str:
    return "*" if len(values) == count else ",".join(map(str, sorted(values)))


def _triggers(system: System) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for name, cron, zone in system.wakes.crons:
        yield name, name, dialect(cron, zone)
        yield name, f"clocks-{name}", at_clock_changes(cron, zone, system.wakes.every)


def _schedule(system: System, name: str, cron: str, job: dict[str, Any]) -> dict[str, Any]:
    """64-bit integers are strings, as JSON of protocol buffers writes them."""
    return {
        "displayName": f"{system.wake.name}-{name}",
        "cron": cron,
        # One wake at a time, and none is queued: a wake reads the whole state, so the next one sees what it missed.
        "maxConcurrentRunCount": "1",
        "maxConcurrentActiveRunCount": "1",
        "allowQueueing": False,
        "createPipelineJobRequest": {"parent": parent(system), "pipelineJob": job},
    }
