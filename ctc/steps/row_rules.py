"""The data checks that judge each row for itself: which rows offend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import ibis
from ibis.expr import datatypes as dt

from ctc.steps import conditions, engine
from ctc.steps.columns import comparable
from ctc.steps.judged_rows import Check, Place, require
from ctc.steps.task import StepFailed

HOLDS = "_ctc_holds_"
"""The columns of a table's SQL conditions start so, and go on with the check's place in its list."""


@ibis.udf.scalar.builtin(name="regexp_full_match", signature=((dt.string, dt.string), dt.boolean))  # type: ignore[untyped-decorator]
def _matches(text: str, regex: str) -> bool:  # type: ignore[empty-body]
    """Whether a pattern (RE2) matches the whole text."""


def prepared(connection: Any, table: Any, checks: list[Check], at: Place, name: str) -> Any:
    """`table` with what the SQL conditions among `checks` answer, for `offending`; `name` is a view of the engine's."""
    wanted = {
        f"{HOLDS}{index}": (f"check {check['name']}: {at}", check["arguments"]["expression"])
        for index, check in enumerate(checks)
        if check["kind"] == "sql"
    }
    return conditions.with_conditions(connection, table, name, wanted)


def offending(
    connection: Any, table: Any, checks: list[Check], index: int, at: Place, data: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Whether a row of a prepared table offends the check at `index`, never NULL; and what else is to be measured.

    A missing value (NULL, NaN) offends `null_ratio` only, and `sql`, where it says so itself. StepFailed for a column
    that is not there, or of a type that the check cannot judge.
    """
    check = checks[index]
    kind, arguments, where = check["kind"], check["arguments"], f"check {check['name']}: {at}"
    if kind == "sql":
        return ~table[f"{HOLDS}{index}"], {}
    require([arguments["column"]], table, at, where, data)
    column = table[arguments["column"]]
    missing = engine.missing(column)
    if kind == "null_ratio":
        return missing, {}
    if kind == "allowed_values":
        return (~missing & column.notin(comparable(arguments["values"], column.type()))).fill_null(False), {}
    if kind == "pattern":
        _require_pattern(connection, arguments["regex"], where)
        if not column.type().is_string():
            raise StepFailed(f"{where}: `{arguments['column']}` is {column.type()}; a pattern needs texts")
        return (~_matches(column, ibis.literal(arguments["regex"]))).fill_null(False), {}
    if not column.type().is_numeric():
        raise StepFailed(f"{where}: `{arguments['column']}` is {column.type()}; a range needs numbers")
    outside = ibis.literal(False)
    for bound, worse in (("min", column.__lt__), ("max", column.__gt__)):
        if arguments.get(bound) is not None:
            outside = outside | worse(arguments[bound])
    present = missing.ifelse(ibis.null(), column)
    return (~missing & outside).fill_null(False), {"low": present.min(), "high": present.max()}


def _require_pattern(connection: Any, regex: str, where: str) -> None:
    try:
        connection.con.execute("SELECT regexp_full_match('', ?)", [regex]).fetchall()
    except duckdb.Error as error:
        raise StepFailed(f"{where}: the pattern {regex!r} cannot be read: {str(error).splitlines()[0]}") from error
