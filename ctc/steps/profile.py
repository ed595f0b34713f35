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
from ctc.steps import baselines, engine
from ctc.steps.ports import Services
from ctc.steps.task import Task

LEARNT = ("train", "valid")
"""The parts of a snapshot that a model learns from."""


def keep(connection: Any, task: Task, services: Services) -> None:
    """Keeps the profile of the training rows, the later baseline of drift."""
    rows = engine.parts(connection, [task.inputs[part] for part in LEARNT])
    made = of_table(connection, rows, [name for name in rows.columns if name != "row_id"])
    services.objects.put(baselines.training_key(task.attempt), made.to_json())


def of_table(connection: Any, table: Any, columns: Iterable[str]) -> Profile:
    """The profile of the named columns; those of a type without a distribution are `skipped`."""
    found: dict[str, Column] = {}
    skipped: dict[str, str] = {}
    for name in columns:
        kind = table[name].type()
        if kind.is_numeric() or kind.is_timestamp() or kind.is_date():
            found[name] = _numeric(connection, table, name)
        elif kind.is_string() or kind.is_boolean():
            found[name] = _categorical(connection, table, name)
        else:
            skipped[name] = str(kind)
    return Profile(found, skipped)


def by_column(found: Profile) -> Mapping[str, Column | str]:
    """A profile's columns; those that have none, with why."""
    return {**found.columns, **{name: f"a {kind} has no distribution" for name, kind in found.skipped.items()}}


def _numeric(connection: Any, table: Any, name: str) -> Numeric:
    """Distinct values are counted and numbered by the engine, which lays aside what memory does not hold."""
    number = _number(table[name])
    values = table.select(x=ibis.ifelse(engine.missing(table[name]), ibis.null(), number))
    infinite = values.x.isinf().fill_null(False)
    finite = ibis.ifelse(infinite, ibis.null(), values.x)
    facts = engine.one(
        connection,
        values.aggregate(
            rows=values.count(),
            missing=values.x.isnull().sum(),
            distinct=values.x.nunique(),
            infinite=infinite.sum(),
            mean=finite.mean(),
            std=finite.std(how="sample"),
        ),
    )
    rows, missing = int(facts["rows"]), int(facts["missing"] or 0)
    exact = int(facts["distinct"]) <= POINTS
    counted = values.filter(values.x.notnull()).group_by("x").aggregate(n=lambda t: t.count())
    points = counted.select("x", upto=counted.n.sum().over(ibis.window(order_by="x", preceding=None, following=0)))
    if not exact:
        bucket = ((points.upto - 1) * POINTS) // (rows - missing)
        points = points.group_by(bucket=bucket).aggregate(x=points.x.max(), upto=points.upto.max())
    found = engine.fetched(connection, points.select(points.x, upto=points.upto.cast("int64")).order_by("x"))
    whole = not facts["infinite"]
    return Numeric(
        rows,
        missing,
        np.array(found["x"], dtype=np.float64),
        np.array(found["upto"], dtype=np.int64),
        facts["mean"] if whole else None,
        facts["std"] if whole and rows - missing > 1 else None,
        exact,
    )


def _number(column: Any) -> Any:
    kind = column.type()
    if kind.is_date():
        column = column.cast("timestamp")
    if kind.is_date() or kind.is_timestamp():
        return column.cast(engine.INSTANT).epoch_seconds().cast("float64")
    return column.cast("float64")


def _categorical(connection: Any, table: Any, name: str) -> Categorical:
    column = table[name]
    facts = engine.one(connection, table.aggregate(rows=table.count(), missing=column.isnull().sum()))
    rows, missing = int(facts["rows"]), int(facts["missing"] or 0)
    counted = table.select(x=column.cast("string")).filter(ibis._.x.notnull()).group_by("x")
    most = counted.aggregate(n=lambda t: t.count()).order_by([ibis.desc("n"), "x"]).limit(VALUES)
    found = engine.fetched(connection, most)
    counts = {str(value): int(count) for value, count in zip(found["x"], found["n"], strict=True)}
    return Categorical(rows, missing, counts, rows - missing - sum(counts.values()))
