"""The check `schema`: which columns a table has, and of which types by the language's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.policy import data_checks
from ctc.policy.data_checks import Answer
from ctc.steps import judged_rows
from ctc.steps.judged_rows import Check
from ctc.steps.ports import Services
from ctc.steps.task import Task

_OURS = frozenset({"row_id", "event_time"})
_FORECASTS = frozenset({"origin", "horizon"})


def judge(connection: Any, task: Task, services: Services, check: Check) -> Answer:
    """StepFailed if the table cannot be read, or the check names a column that only the holdout has."""
    data, columns = task.policy["data"], list(check["arguments"]["columns"])
    at = judged_rows.place(check, data)
    table = judged_rows.rows(connection, task, at)
    there = [column for column in columns if column in table.columns or column in data["columns"]["audit"]]
    judged_rows.require(there, table, at, f"check {check['name']}: {at}", data)
    instants: set[Any] = set()
    if at.source is not None:
        described = data["sources"][at.source]
        instants = {described["event_time"], described["known_at"]}
    types = {name: (str(kind), names_of(kind, name in instants)) for name, kind in table.schema().items()}
    own = _OURS | (_FORECASTS if data.get("forecast") else frozenset()) if at.source is None else frozenset()
    return data_checks.schema(check["arguments"], types, own)


def names_of(kind: Any, instant: bool) -> frozenset[str]:
    """The language's names that a type of the engine goes by; of a whole number both `integer` and `number`.

    Times that a source names are read as instants, so `date` is right for them, too.
    """
    if kind.is_boolean():
        return frozenset({"boolean"})
    if kind.is_integer() or (kind.is_decimal() and kind.scale == 0):
        return frozenset({"integer", "number"})
    if kind.is_numeric():
        return frozenset({"number"})
    if kind.is_timestamp():
        return frozenset({"timestamp", "date"}) if instant else frozenset({"timestamp"})
    named: Mapping[str, bool] = {"string": kind.is_string(), "date": kind.is_date()}
    return frozenset(name for name, holds in named.items() if holds)
