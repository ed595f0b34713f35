"""Profiles of tables, computed by the engine: nothing but the profile itself ever leaves it.

Numbers, instants and dates are numeric (instants and dates as seconds since 1970 in UTC), text and booleans (as `true`
and `false`) categorical. NULL and NaN are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ibis
import numpy as np

from ctc.policy.profile import POINTS, VALUES, Categorical, Column, Numeric, Profile
from ctc.policy.records import record_key
from ctc.policy.statistics import NotEvaluable
from ctc.policy.windows import parse_instant
from ctc.steps import baselines, engine, served
from ctc.steps.ports import ObjectStore, Services
from ctc.steps.task import Task

LEARNT = ("train", "valid")
"""The parts of a snapshot that a model learns from."""


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
    """What is asked of a table, compiled once: to ask again of a table that `hold` has filled anew costs a tenth."""

    def __init__(self, connection: Any, table: Any, columns: Iterable[str]) -> None:
        kinds = {name: table[name].type() for name in columns}
        self._skipped = {
            name: str(kind) for name, kind in kinds.items() if not (_is_numeric(kind) or _is_categorical(kind))
        }
        self._numeric = {name: _is_numeric(kind) for name, kind in kinds.items() if name not in self._skipped}
        facts = table.aggregate(rows=table.count(), **_facts(table, self._numeric))
        self._facts: str = connection.compile(facts)
        self._values: dict[str, str] = {
            name: connection.compile(_points(table[name]) if numeric else _most(table[name]))
            for name, numeric in self._numeric.items()
        }

    def ask(self, connection: Any) -> Profile:
        """The profile of the table's rows of this moment."""
        facts = {fact: values[0] for fact, values in engine.asked(connection, self._facts).items()}
        found: dict[str, Column] = {}
        for index, (name, numeric) in enumerate(self._numeric.items()):
            own = {fact.removesuffix(f"_{index}"): value for fact, value in facts.items() if fact.endswith(f"_{index}")}
            values = engine.asked(connection, self._values[name])
            found[name] = (_numeric if numeric else _categorical)(values, int(facts["rows"]), own)
        return Profile(found, self._skipped)


def _is_numeric(kind: Any) -> bool:
    return bool(kind.is_numeric() or kind.is_timestamp() or kind.is_date())


def _is_categorical(kind: Any) -> bool:
    return bool(kind.is_string() or kind.is_boolean())


def _facts(table: Any, columns: Iterable[str]) -> dict[str, Any]:
    """What one scan tells of all columns, each fact with the number of its column."""
    facts: dict[str, Any] = {}
    for index, name in enumerate(columns):
        column = table[name]
        facts[f"missing_{index}"] = engine.missing(column).sum()
        if _is_numeric(column.type()):
            number = _number(column)
            infinite = number.isinf().fill_null(False)
            finite = ibis.ifelse(engine.missing(column) | infinite, ibis.null(), number)
            facts[f"infinite_{index}"] = infinite.sum()
            facts[f"mean_{index}"] = finite.mean()
            facts[f"std_{index}"] = finite.std(how="sample")
    return facts


def by_column(found: Profile) -> Mapping[str, Column | str]:
    """A profile's columns; those that have none, with why."""
    return {**found.columns, **{name: f"a {kind} has no distribution" for name, kind in found.skipped.items()}}


def _points(column: Any) -> Any:
    """Distinct values are counted and numbered by the engine, which lays aside what memory does not hold."""
    present = column.as_table().filter(~engine.missing(column)).select(x=_number(column))
    counted = present.group_by("x").aggregate(n=lambda t: t.count())
    ordered = counted.mutate(
        upto=counted.n.sum().over(ibis.window(order_by="x", preceding=None, following=0)).cast("int64"),
        place=ibis.row_number().over(ibis.window(order_by="x")),
        different=counted.count().over(ibis.window()),
        total=counted.n.sum().over(ibis.window()).cast("int64"),
    )
    bucket = ibis.ifelse(ordered.different <= POINTS, ordered.place, (ordered.upto - 1) * POINTS // ordered.total)
    points = ordered.group_by(bucket=bucket).aggregate(
        x=ordered.x.max(), upto=ordered.upto.max(), different=ordered.different.max()
    )
    return points.order_by("upto").select("x", "upto", "different")


def _numeric(values: Mapping[str, list[Any]], rows: int, facts: Mapping[str, Any]) -> Numeric:
    missing, whole = int(facts["missing"] or 0), not facts["infinite"]
    return Numeric(
        rows,
        missing,
        np.array(values["x"], dtype=np.float64),
        np.array(values["upto"], dtype=np.int64),
        facts["mean"] if whole else None,
        facts["std"] if whole and rows - missing > 1 else None,
        max(values["different"], default=0) <= POINTS,
    )


def _number(column: Any) -> Any:
    kind = column.type()
    if kind.is_date():
        column = column.cast("timestamp")
    if kind.is_date() or kind.is_timestamp():
        return column.cast(engine.INSTANT).epoch_seconds().cast("float64")
    return column.cast("float64")


def _most(column: Any) -> Any:
    counted = column.as_table().filter(column.notnull()).select(x=column.cast("string")).group_by("x")
    return counted.aggregate(n=lambda t: t.count()).order_by([ibis.desc("n"), "x"]).limit(VALUES)


def _categorical(values: Mapping[str, list[Any]], rows: int, facts: Mapping[str, Any]) -> Categorical:
    missing = int(facts["missing"] or 0)
    counts = {str(value): int(count) for value, count in zip(values["x"], values["n"], strict=True)}
    return Categorical(rows, missing, counts, rows - missing - sum(counts.values()))
