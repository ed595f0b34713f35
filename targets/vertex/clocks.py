"""Wakes beside the crons of a zone, where its clocks change: what the service does there is not documented.

A time that the clocks skip may not fire, one that they show twice may fire at either or both. The spec's instant there
is one (`ctc.language.cron`), so it gets crons of its own, in UTC. They fire on the days of every year on which that
zone has changed its clocks; a wake that finds nothing due does nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from ctc.language.cron import Cron, clock_changes

_YEARS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC))
"""Fixed, as a bundle depends on no clock. Twelve years hold each date that a weekday of a month can have."""

_MINUTE = timedelta(minutes=1)
_Fields = tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int]]


@functools.lru_cache(maxsize=64)
def at_clock_changes(cron: str, zone: str, every: timedelta) -> tuple[str, ...]:
    """Crons in UTC that fire at each instant of `cron` whose wall-clock time is skipped or shown twice, in `_YEARS`.

    Without the instants at which wakes `every` so often, counted from midnight UTC, come anyway. Some of the crons'
    firings are no instants of `cron`. ValueError for a zone that does not exist.
    """
    parsed = Cron.parse(cron)
    instants = {
        instant
        for change in _changes(zone)
        for instant in _unsure(parsed, *change)
        if not _wakes_anyway(instant, every)
    }
    days: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for instant in instants:
        days.setdefault((instant.minute, instant.hour), set()).add((instant.day, instant.month))
    fields = [
        (frozenset((minute,)), frozenset((hour,)), frozenset(d for d, _ in at), frozenset(m for _, m in at))
        for (minute, hour), at in days.items()
    ]
    return tuple(sorted(_cron(*found) for found in _joined(_joined(fields, 0), 1)))


@functools.lru_cache(maxsize=64)
def _changes(zone: str) -> tuple[tuple[datetime, timedelta, timedelta], ...]:
    return tuple(clock_changes(zone, *_YEARS))


def _unsure(cron: Cron, change: datetime, before: timedelta, after: timedelta) -> Iterator[datetime]:
    """The instants of `cron` at which a service may not fire around one change of the clocks."""
    shown = change.replace(tzinfo=None)
    if after > before:
        if not cron.matches(shown + after) and any(map(cron.matches, _minutes(shown + before, shown + after))):
            yield change
    else:
        for wall in _minutes(shown + after, shown + before):
            if cron.matches(wall):
                yield (wall - before).replace(tzinfo=UTC)


def _minutes(first: datetime, end: datetime) -> Iterator[datetime]:
    """The whole minutes in `[first, end)`."""
    wall = first if not first.second else first.replace(second=0) + _MINUTE
    while wall < end:
        yield wall
        wall += _MINUTE


def _wakes_anyway(instant: datetime, every: timedelta) -> bool:
    midnight = instant.replace(hour=0, minute=0, second=0)
    return every <= timedelta(days=1) and not (instant - midnight) % every


def _joined(found: Iterable[_Fields], place: int) -> list[_Fields]:
    """Crons that differ in one field only become one."""
    alike: dict[tuple[frozenset[int], ...], set[int]] = {}
    for fields in found:
        alike.setdefault((*fields[:place], *fields[place + 1 :]), set()).update(fields[place])
    return [
        (*others[:place], frozenset(values), *others[place:])  # type: ignore[misc]
        for others, values in alike.items()
    ]


def _cron(*fields: frozenset[int]) -> str:
    return f"TZ=UTC {' '.join(','.join(map(str, sorted(field))) for field in fields)} *"
