"""Profiles of tables. Texts are counted by the engine, numbers are sorted: outside of it, while memory holds a column.

Numbers, instants and dates are numeric (instants and dates as seconds since 1970 in UTC), text and booleans (as `true`
and `false`) categorical. NULL and NaN are missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ctc.policy.profile import VALUES, Categorical, Column, Floats, Numeric, Profile, of_ordered, of_sorted
from ctc.policy.records import record_key
from ctc.policy.statistics import NotEvaluable
from ctc.policy.windows import parse_instant
from ctc.steps import baselines, engine, served
from ctc.steps.ports import ObjectStore, Services
from ctc.steps.task import Task

LEARNT = ("train", "valid")
"""The parts of a snapshot that a model learns from."""

IN_MEMORY = 1 << 24
"""Numbers that are sorted in memory at a time, of one column or of several: 128 MB. The engine sorts more of them."""


def keep(connection: Any, task: Task, services: Services) -> None:
    """Keeps the profile of the training rows, the later baseline of drift."""
    rows = engine.parts(connection, [task.inputs[part] for part in LEARNT])
    made = of_table(connection, rows, [name for name in rows.columns if name != "row_id"])
    services.objects.put(baselines.training_key(task.attempt), made.to_json())


def of_training(
    connection: Any, objects: ObjectStore, attempt: str, name: str, source: Mapping[str, Any], columns: Iterable[str]
) -> Mapping[str, Column | str]:
    """The baseline of a source's columns: the profile of the rows that the attempt learnt from.

    A column that its model never saw, such as a dropped one, is taken from the source: its rows in the attempt's
    training window, as they were known at the attempt. NotEvaluable where the attempt left no profile, or no record.
    """
    kept = baselines.kept(objects, baselines.training_key(attempt))
    if kept is None:
        raise NotEvaluable(f"attempt {attempt} has left no profile of its training rows")
    found = by_column(kept)
    unseen = [column for column in columns if column not in found]
    if not unseen:
        return found
    record = objects.get(record_key(attempt))
    if record is None or not record.get("windows"):
        raise NotEvaluable(f"the record of attempt {attempt} has no training window, in which to look at `{unseen[0]}`")
    read = engine.table(connection, name, source)
    for column in unseen:
        engine.require(column, read.columns, f"source {name}")
    event, known = served.instants(source, name)
    start, end = (engine.literal(parse_instant(record["windows"][f"train_{edge}"])) for edge in ("start", "end"))
    by_then = read[known] <= engine.literal(parse_instant(record["instant"]))
    rows = read.filter((read[event] >= start) & (read[event] < end) & by_then)
    return {**found, **by_column(of_table(connection, rows, unseen))}


def of_table(connection: Any, table: Any, columns: Iterable[str]) -> Profile:
    """The profile of the named columns; those of a type without a distribution are `skipped`."""
    return Question(connection, table, columns).ask(connection)


class Question:
    """What is asked of a table, in SQL: `ask` it again of a table that `hold` has filled anew."""

    def __init__(self, connection: Any, table: Any, columns: Iterable[str]) -> None:
        kinds = {name: table[name].type() for name in columns}
        self._numbers = {name: _number(name, kind) for name, kind in kinds.items() if _is_numeric(kind)}
        self._texts = [name for name, kind in kinds.items() if _is_categorical(kind)]
        self._skipped = {
            name: str(kind) for name, kind in kinds.items() if not (_is_numeric(kind) or _is_categorical(kind))
        }
        self._order = [name for name in kinds if name not in self._skipped]
        self._from = f"FROM ({connection.compile(table)})"

    def ask(self, connection: Any) -> Profile:
        """The profile of the table's rows of this moment."""
        counts = ", ".join(["count(*)", *(f"count({engine.quoted(name)})" for name in self._texts)])
        rows, *present = engine.row(connection, f"SELECT {counts} {self._from}")
        found: dict[str, Column] = {}
        for name, count in zip(self._texts, present, strict=True):
            found[name] = self._categorical(connection, name, rows, count)
        if rows <= IN_MEMORY:
            found |= self._sorted_here(connection, rows)
        else:
            found |= {name: self._sorted_by_engine(connection, name, rows) for name in self._numbers}
        return Profile({name: found[name] for name in self._order}, self._skipped)

    def _sorted_here(self, connection: Any, rows: int) -> dict[str, Numeric]:
        """Of all numeric columns, as many at a time as memory may hold: some are read while others are sorted."""
        names = list(self._numbers)
        held = max(1, min(len(names), IN_MEMORY // max(rows, 1)))
        together = held if held == len(names) else max(1, held // 2)
        places = np.empty((held // together, together, rows))
        sorting: deque[tuple[list[str], list[Future[Numeric]]]] = deque()
        found: dict[str, Numeric] = {}
        with ThreadPoolExecutor(engine.threads(connection)) as workers:
            for number, start in enumerate(range(0, len(names), together)):
                if len(sorting) == len(places):
                    found |= _sorted(*sorting.popleft())
                chosen = names[start : start + together]
                wanted = ", ".join(f"{self._numbers[name]} AS x{place}" for place, name in enumerate(chosen))
                room = places[number % len(places)][: len(chosen)]
                engine.fill(connection, f"SELECT {wanted} {self._from}", room)
                sorting.append((chosen, [workers.submit(_profile_of, values) for values in room]))
            for waiting in sorting:
                found |= _sorted(*waiting)
        return found

    def _sorted_by_engine(self, connection: Any, name: str, rows: int) -> Numeric:
        """Of one column, which is laid aside on disk where memory does not hold it."""
        there = f"FROM (SELECT {self._numbers[name]} AS x {self._from}) WHERE x IS NOT NULL AND NOT isnan(x)"
        facts = "count(*), bool_or(isinf(x)), avg(x), stddev_samp(x) FILTER (NOT isinf(x))"
        present, infinite, mean, std = engine.row(connection, f"SELECT {facts} {there}")
        batches = (columns[0] for columns in engine.batches(connection, f"SELECT x {there} ORDER BY x"))
        return of_ordered(batches, rows, present, *((None, None) if infinite else (mean, std)))

    def _categorical(self, connection: Any, name: str, rows: int, present: int) -> Categorical:
        column = engine.quoted(name)
        most = engine.asked(
            connection,
            f"SELECT CAST({column} AS VARCHAR) AS x, count(*) AS n {self._from} WHERE {column} IS NOT NULL "
            f"GROUP BY 1 ORDER BY n DESC, x LIMIT {VALUES}",
        )
        counts = {str(value): int(count) for value, count in zip(most["x"], most["n"], strict=True)}
        return Categorical(rows, rows - present, counts, present - sum(counts.values()))


def _sorted(names: list[str], profiles: list[Future[Numeric]]) -> dict[str, Numeric]:
    return {name: found.result() for name, found in zip(names, profiles, strict=True)}


def _profile_of(values: Floats) -> Numeric:
    values.sort()
    return of_sorted(values)


def _is_numeric(kind: Any) -> bool:
    return bool(kind.is_numeric() or kind.is_timestamp() or kind.is_date())


def _is_categorical(kind: Any) -> bool:
    return bool(kind.is_string() or kind.is_boolean())


def by_column(found: Profile) -> Mapping[str, Column | str]:
    """A profile's columns; those that have none, with why."""
    return {**found.columns, **{name: f"a {kind} has no distribution" for name, kind in found.skipped.items()}}


def _number(name: str, kind: Any) -> str:
    """A numeric column as a DOUBLE."""
    column = engine.quoted(name)
    if kind.is_timestamp() or kind.is_date():
        # Not from one to the other of the two types: that goes through a calendar, at ten times the price.
        zoned = kind.is_timestamp() and kind.timezone is not None
        return f"EPOCH(CAST({column} AS {'TIMESTAMPTZ' if zoned else 'TIMESTAMP'}))"
    return f"CAST({column} AS DOUBLE)"
