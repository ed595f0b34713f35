"""Windows, counts and bounds that fit the data: what a run at the end of the data would learn from and be judged on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ctc.diagnostics import CtcError
from ctc.init.parts import Data
from ctc.init.tables import Column, Database, instant, quoted, scan

HOUR, DAY = 3600, 86400
LENGTHS = (*(hours * HOUR for hours in (1, 2, 6, 12)), *(days * DAY for days in (1, 2, 3, 7, 14, 28, 60, 90, 180, 365)))
"""Lengths of windows, in seconds, that read well."""

LONGEST = 90 * DAY
WANTED_ROWS, WANTED_POSITIVES = 1000, 100
"""What a holdout should have, so that a gate can tell models apart; an AUC's standard error is then about 0.03."""


@dataclass(frozen=True)
class Span:
    """Bounds of one column over the window; `low` and `high` are None where there is no finite value."""

    column: Column
    missing: float
    low: float | int | None = None
    high: float | int | None = None


@dataclass(frozen=True)
class Volume:
    """Windows in seconds and what they hold at `instant`, the first hour at which the last label is known.

    `baseline` is the mean absolute error, on the holdout, of always answering the training window's median; None for a
    binary task. `weekly` is the number of labelled rows that a week brings.
    """

    first: datetime
    last: datetime
    instant: datetime
    window: int
    holdout: int
    train_rows: int
    holdout_rows: int
    positives: int | None
    baseline: float | None
    weekly: int
    spans: tuple[Span, ...]


def measure(database: Database, data: Data) -> Volume:
    """CtcError if no row has a label by its age, or the data have no length in time."""
    rows = _labelled(data)
    table = data.main.path
    count, first, last, positives = database.one(
        f"SELECT count(*), min(happened), max(happened), coalesce(sum(label), 0) FROM ({rows})", table
    )
    if not count:
        raise CtcError(
            f"no row of {table} has a label {_age(data.known_after.value)} after it",
            f"check --label and --label-delay; the label is `{data.label.value}` of {data.label_table.path}",
        )
    span = (int(last) - int(first)) // 10**6
    if span < 4 * HOUR:
        raise CtcError(
            f"the rows of {table} span {span} seconds by `{data.event_time.value}`: windows need hours at least",
            "name another time with --event-time, or bring a longer history",
        )
    positive = int(positives) if data.task.value == "binary" else None
    holdout = _holdout(span, int(count), positive)
    window = max(length for length in LENGTHS if length <= max(span - holdout, HOUR) and length <= LONGEST)
    now = _instant(int(last), data.known_after.value, span)
    edge = now - data.known_after.value
    cut, start = edge - timedelta(seconds=holdout), edge - timedelta(seconds=holdout + window)
    both = (
        f"SELECT *, happened >= {_micros(cut)} AS held FROM ({rows}) "
        f"WHERE happened >= {_micros(start)} AND happened < {_micros(edge)}"
    )
    counted = database.one(
        "SELECT count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held), "
        f"coalesce(sum(label) FILTER (WHERE held), 0) FROM ({both})",
        table,
    )
    if not counted[0] or not counted[1]:
        raise CtcError(
            f"the labelled rows of {table} leave a gap: {counted[0]} to learn from, {counted[1]} to judge on",
            "bring a history without gaps, or name another time with --event-time",
        )
    return Volume(
        _instant_of(first),
        _instant_of(last),
        now,
        window,
        holdout,
        int(counted[0]),
        int(counted[1]),
        int(counted[2]) if positive is not None else None,
        None if positive is not None else _baseline(database, data, both),
        max(1, math.floor(int(count) * 7 * DAY / span)),
        _spans(database, data, start, edge),
    )


def rounded_down(number: float, digits: int = 1) -> int:
    """A whole number with so many leading digits, not above `number`; at least 1."""
    if number < 1:
        return 1
    step = int(10 ** max(0, math.floor(math.log10(number)) + 1 - digits))
    return max(1, math.floor(number / step) * step)


def outward(value: float, reach: float, sign: int) -> float | int:
    """A bound beyond `value` by a fifth of `reach`, in few digits; never across 0."""
    moved = value + sign * reach / 5
    if value >= 0 > moved or value <= 0 < moved:
        return 0
    step = 10.0 ** (math.floor(math.log10(reach)) - 1) if reach > 0 else 1.0
    steps = math.ceil(moved / step) if sign > 0 else math.floor(moved / step)
    number = float(f"{steps * step:.12g}")
    return int(number) if number.is_integer() else number


def _age(age: timedelta) -> str:
    return f"{age.total_seconds() / DAY:g} days"


def _labelled(data: Data) -> str:
    """Rows `happened` (microseconds) and `label` (a number) of those that have a label by their age, as SQL."""
    main, label = data.main, quoted(data.label.value)
    event = main.column(data.event_time.value)
    assert event is not None
    at, number = instant(event), f"CAST({label} AS DOUBLE)"
    if data.labels is None:
        found = f"SELECT {at} AS happened, {number} AS label FROM {scan(main.path)}"
    else:
        known = data.labels.table.column(data.labels.known_at.value)
        assert known is not None
        key, age = quoted(data.labels.key), int(data.known_after.value.total_seconds() * 10**6)
        other = f"SELECT {key} AS k, {instant(known)} AS t, {number} AS label FROM {scan(data.labels.table.path)}"
        found = (
            "SELECT a.happened, arg_max(b.label, b.t) AS label "
            f"FROM (SELECT {key} AS k, {at} AS happened FROM {scan(main.path)}) a "
            f"JOIN ({other}) b ON a.k = b.k AND b.t <= a.happened + {age} GROUP BY a.k, a.happened"
        )
    return f"SELECT * FROM ({found}) WHERE label IS NOT NULL AND NOT isnan(label) AND happened IS NOT NULL"


def _holdout(span: int, count: int, positives: int | None) -> int:
    """The shortest length that should hold enough; a week at least, a quarter of the span at most."""
    allowed = [length for length in LENGTHS if length <= span / 4]
    for length in allowed:
        share = length / span
        enough = count * share >= WANTED_ROWS and (positives is None or positives * share >= WANTED_POSITIVES)
        if length >= 7 * DAY and enough:
            return length
    return allowed[-1] if allowed else HOUR


def _instant(last: int, age: timedelta, span: int) -> datetime:
    """The first full hour after the last row's label is known; the first minute where all rows span less than a day."""
    unit = 60 if span < DAY else HOUR
    seconds = last // 10**6 + 1 + int(age.total_seconds())
    return datetime.fromtimestamp(math.ceil(seconds / unit) * unit, UTC)


def _baseline(database: Database, data: Data, both: str) -> float:
    sql = (
        f"WITH rows AS ({both}), m AS (SELECT quantile_cont(label, 0.5) AS m FROM rows WHERE NOT held) "
        "SELECT avg(abs(label - m.m)) FROM rows, m WHERE held"
    )
    [found] = database.one(sql, data.main.path)
    return float(found)


def _spans(database: Database, data: Data, start: datetime, end: datetime) -> tuple[Span, ...]:
    """What the columns of the main table hold within both windows."""
    event = data.main.column(data.event_time.value)
    assert event is not None
    columns = _judged(data)
    asked = ["count(*)"]
    for column in columns:
        name = quoted(column.name)
        number = column.kind == "number"
        floating = number and column.type in ("FLOAT", "DOUBLE")
        finite = f" FILTER (WHERE isfinite({name}))" if floating else ""
        asked.append(f"count({name})" + (f" FILTER (WHERE NOT isnan({name}))" if floating else ""))
        cast = name if column.whole else f"CAST({name} AS DOUBLE)"
        asked += [f"min({cast}){finite}", f"max({cast}){finite}"] if number else []
    where = f"{instant(event)} >= {_micros(start)} AND {instant(event)} < {_micros(end)}"
    found = iter(database.one(f"SELECT {', '.join(asked)} FROM {scan(data.main.path)} WHERE {where}", data.main.path))
    rows = int(next(found))
    return tuple(_span(column, rows, found) for column in columns) if rows else ()


def _span(column: Column, rows: int, found: Any) -> Span:
    missing = 1 - int(next(found)) / rows
    if column.kind != "number":
        return Span(column, missing)
    return Span(column, missing, next(found), next(found))


def _judged(data: Data) -> Sequence[Column]:
    hidden = {data.label.value, data.event_time.value, *data.key.value, *data.later}
    return [
        column
        for column in data.main.of_kind("number", "boolean", "text")
        if column.name not in hidden and column.name not in data.main.unique
    ]


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 10**6)


def _instant_of(micros: Any) -> datetime:
    return datetime.fromtimestamp(int(micros) // 10**6, UTC)
