"""Cron expressions in an IANA time zone: five fields, as in POSIX crontab, with names, ranges, lists and steps.

Every wall-clock time that matches is one instant. A time that the clocks skip is at the shift (once, however many are
skipped); a time that the clocks show twice is the first of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ctc.value import Value, frozen

# Not `calendar`'s: its names are those of a locale.
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_NEAR = timedelta(weeks=2)
_LONGEST = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}


@frozen
class _Field(Value):
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


@frozen
class Cron(Value):
    """A parsed expression. `weekdays` counts from Sunday = 0.

    If both day fields are restricted (neither starts with `*`), a day that matches either is in the schedule; else it
    must match both. That is crontab's rule.
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """ValueError, with one sentence for the user, if `text` is not five valid fields."""
        words = text.split()
        if len(words) != len(_FIELDS):
            raise ValueError(
                f"{text!r} has {len(words)} fields; a cron expression has 5: minute hour day-of-month month day-of-week"
            )
        minutes, hours, days, months, weekdays = (
            _values(word, field) for word, field in zip(words, _FIELDS, strict=True)
        )
        return cls(
            text=text,
            minutes=tuple(sorted(minutes)),
            hours=tuple(sorted(hours)),
            days=days,
            months=months,
            weekdays=frozenset(day % 7 for day in weekdays),
            either_day=not words[2].startswith("*") and not words[4].startswith("*"),
        )

    def instants(self, start: datetime, end: datetime, zone: str) -> Iterator[datetime]:
        """The UTC instants in `(start, end]`, ascending, without repeats. ValueError for a zone that does not exist."""
        local = _zone(zone)
        last = start
        for day in _dates(start, end, local):
            if not self._on(day):
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    instant = _instant(datetime.combine(day, time(hour, minute)), local)
                    if instant > end:
                        return
                    if instant > last:
                        last = instant
                        yield instant

    def matches(self, wall: datetime) -> bool:
        """Whether a wall-clock time, to the minute, is one of the expression's."""
        return wall.hour in self.hours and wall.minute in self.minutes and self._on(wall.date())

    def never_fires(self) -> bool:
        """True if no year has such a day, as in `0 0 31 2 *`."""
        possible = any(day <= _LONGEST[month] for month in self.months for day in self.days)
        return not possible and not self.either_day

    def _on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week


def clock_changes(zone: str, start: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """When a zone's clocks change in `(start, end]`: the UTC instant, and the offsets from UTC before and after it.

    Two changes within two weeks that undo each other are not found: no zone has such. ValueError for a zone that does
    not exist.
    """
    local, low = _zone(zone), start
    before = _offset(low, local)
    while low < end:
        high = min(low + _NEAR, end)
        after = _offset(high, local)
        if after != before:
            yield _shift(low, high, local), before, after
        low, before = high, after


def _values(word: str, field: _Field) -> frozenset[int]:
    values: set[int] = set()
    for part in word.split(","):
        values.update(_part(part, field))
    return frozenset(values)


def _part(part: str, field: _Field) -> range:
    span, slash, step_text = part.partition("/")
    low_text, dash, high_text = span.partition("-")
    if slash and span != "*" and not dash:
        raise ValueError(f"the {field.name} {part!r} has a step but no range: write {span}-{field.high}/{step_text}")
    if slash and not (step_text.isascii() and step_text.isdigit() and int(step_text) > 0):
        raise ValueError(f"the step of the {field.name} {part!r} must be a whole number from 1")
    step = int(step_text) if slash else 1
    if span == "*":
        top = 6 if field.names is _WEEKDAYS else field.high
        return range(field.low, top + 1, step)
    low = _number(low_text, field)
    if not dash:
        return range(low, low + 1)
    high = _number(high_text, field)
    if field.names is _WEEKDAYS and high == 0 and low > 0:
        high = 7
    if high < low:
        raise ValueError(f"the {field.name} range {part!r} runs backwards: write two ranges with a comma between")
    return range(low, high + 1, step)


def _number(text: str, field: _Field) -> int:
    named = field.names.get(text.lower())
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit()):
        names = f" or a name such as {next(iter(field.names)).upper()}" if field.names else ""
        raise ValueError(f"the {field.name} {text!r} is not a number from {field.low} to {field.high}{names}")
    number = int(text)
    if not field.low <= number <= field.high:
        raise ValueError(f"the {field.name} {number} is not within {field.low} to {field.high}")
    return number


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}: write an IANA name such as Europe/Oslo") from error


def _dates(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[date]:
    # A zone that crosses the date line skips or repeats a day, hence the day before and the day after.
    first = start.astimezone(zone).date() - timedelta(days=1)
    for offset in range((end.astimezone(zone).date() - first).days + 2):
        yield first + timedelta(days=offset)


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    before = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if before.astimezone(zone).replace(tzinfo=None) == wall:
        return before
    after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _shift(after, before, zone)


def _shift(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant, to the second, in `(low, high]` that has another UTC offset than `low`."""
    offset = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)
