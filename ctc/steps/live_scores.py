"""What a version answered live, as profiles of columns of the served rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import ibis

from ctc.policy.profile import Column
from ctc.steps import engine, profile, served
from ctc.steps.task import StepFailed

VERSION, EVENT, KNOWN = "_ctc_version", "_ctc_event", "_ctc_known"


class Scores:
    """The named columns of every source with `role: predictions`, together. StepFailed if there is none, or if one
    lacks a column."""

    def __init__(self, connection: Any, data: Mapping[str, Any], columns: Sequence[str], table: str) -> None:
        names = [name for name, source in data["sources"].items() if source["role"] == "predictions"]
        if not names:
            raise StepFailed("there is no source with `role: predictions`, so what was served is not known")
        parts = [_rows(connection, name, data["sources"][name], columns) for name in names]
        self._connection, self._columns, self._table = connection, list(columns), table
        self._rows = ibis.union(*parts) if len(parts) > 1 else parts[0]

    def profile(self, version: str, start: datetime, end: datetime, at: datetime) -> Mapping[str, Column | str]:
        """Of the version's answers of `[start, end)` that were known at `at`."""
        rows = self._rows
        chosen = rows.filter(
            (rows[VERSION] == version)
            & (rows[EVENT] >= engine.literal(start))
            & (rows[EVENT] < engine.literal(end))
            & (rows[KNOWN] <= engine.literal(at))
        )
        held = engine.hold(self._connection, self._table, chosen)
        return profile.by_column(profile.of_table(self._connection, held, self._columns))


def _rows(connection: Any, name: str, source: Mapping[str, Any], columns: Sequence[str]) -> Any:
    named = source["columns"]
    if named is None:
        raise StepFailed(f"source {name} does not say what its columns are called; add `columns:`")
    read = engine.table(connection, name, source)
    for column in (*columns, named["model_version"]):
        engine.require(column, read.columns, f"source {name}")
    event, known = served.instants(source, name)
    return read.select(
        **{column: read[column] for column in columns},
        **{VERSION: read[named["model_version"]].cast("string"), EVENT: read[event], KNOWN: read[known]},
    )
