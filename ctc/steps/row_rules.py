"""The data checks that judge each row for itself: which rows offend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import ibis
from ibis.expr import datatypes as dt

from ctc.steps import conditions, engine
from ctc.steps.columns import comparable, present
from ctc.steps.judged_rows import Check, Place, require
from ctc.steps.task import StepFailed

HOLDS = "_ctc_holds_"
"""The columns of a table's SQL conditions start so, and go on with the check's place in its list."""

FIRST_ROWS, FEW = 100_000, 1_000
"""The rows that are looked at for how many texts a column has, and how many of them are few."""


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


def offending(connection: Any, table: Any, checks: list[Check], index: int, at: Place, data: Mapping[str, Any]) -> Any:
    """Whether a row of a prepared table offends the check at `index`, never NULL.

    A missing value (NULL, NaN) offends `null_ratio` only, and `sql`, where it says so itself. StepFailed for a column
    that is not there, or of a type that the check cannot judge.
    """
    return _offends(connection, table, checks, index, at, data).fill_null(False)


def measures(
    connection: Any, table: Any, checks: list[Check], index: int, at: Place, data: Mapping[str, Any]
) -> dict[str, Any]:
    """What is counted for the check at `index`: the `bad` rows, and what else it tells. StepFailed as `offending`."""
    offends = _offends(connection, table, checks, index, at, data)
    kind, column = checks[index]["kind"], checks[index]["arguments"].get("column")
    # Counting what is there, and adding up what is true, the engine does faster than counting where something holds.
    if kind == "null_ratio":
        return {"bad": table.count() - present(table[column]).count()}
    if kind == "range":
        values = present(table[column])
        low, high = values.min(), values.max()
        outside = _outside(low, checks[index]["arguments"]) | _outside(high, checks[index]["arguments"])
        return {"outside": outside.fill_null(False), "low": low, "high": high}
    return {"bad": offends.sum()}


def counted_outside(
    connection: Any, table: Any, checks: list[Check], found: Mapping[str, Any], at: Place, data: Mapping[str, Any]
) -> dict[str, int]:
    """`bad_INDEX` of each range: rows are counted only where the lowest or the highest value lies outside."""
    ranges = [index for index in range(len(checks)) if f"outside_{index}" in found]
    wanted = {
        f"bad_{index}": offending(connection, table, checks, index, at, data).sum()
        for index in ranges
        if found[f"outside_{index}"]
    }
    counted = engine.one(connection, table.aggregate(**wanted)) if wanted else {}
    return {f"bad_{index}": int(counted.get(f"bad_{index}", 0)) for index in ranges}


def by_value(connection: Any, table: Any, checks: list[Check]) -> frozenset[int]:
    """The checks of a large table that `counted_by_value` answers sooner: on texts of which there are few.

    The first rows say whether there are. They may be wrong, which costs time and changes no answer.
    """
    judged = {
        index: check["arguments"]["column"]
        for index, check in enumerate(checks)
        if check["kind"] in ("allowed_values", "pattern") and _is_text(table, check["arguments"]["column"])
    }
    columns = list(dict.fromkeys(judged.values()))
    if not columns:
        return frozenset()
    distinct = ", ".join(f"count(DISTINCT {engine.quoted(column)})" for column in columns)
    first = f"SELECT * FROM ({connection.compile(table.select(*columns))}) LIMIT {FIRST_ROWS}"
    rows, *values = engine.row(connection, f"SELECT count(*), {distinct} FROM ({first})")
    few = {column for column, number in zip(columns, values, strict=True) if number <= FEW}
    return frozenset(index for index, column in judged.items() if column in few and rows == FIRST_ROWS)


def _is_text(table: Any, column: str) -> bool:
    return column in table.columns and bool(table[column].type().is_string())


def counted_by_value(
    connection: Any, table: Any, checks: list[Check], chosen: frozenset[int], at: Place, data: Mapping[str, Any]
) -> dict[str, Any]:
    """`bad_INDEX` of each chosen check: each value of its column is judged once, and counts for its rows."""
    found: dict[str, Any] = {}
    for column in dict.fromkeys(checks[index]["arguments"]["column"] for index in sorted(chosen)):
        cells = table.group_by(column).aggregate(_ctc_rows=table.count())
        own = [index for index in sorted(chosen) if checks[index]["arguments"]["column"] == column]
        bad = {f"bad_{i}": cells["_ctc_rows"].sum(where=offending(connection, cells, checks, i, at, data)) for i in own}
        found |= engine.one(connection, cells.aggregate(**bad))
    return found


def _offends(connection: Any, table: Any, checks: list[Check], index: int, at: Place, data: Mapping[str, Any]) -> Any:
    """As `offending`, but that it may be NULL where a value is missing."""
    check = checks[index]
    kind, arguments, where = check["kind"], check["arguments"], f"check {check['name']}: {at}"
    if kind == "sql":
        return ~table[f"{HOLDS}{index}"]
    require([arguments["column"]], table, at, where, data)
    column = present(table[arguments["column"]])
    if kind == "null_ratio":
        return column.isnull()
    if kind == "allowed_values":
        return column.notnull() & column.notin(comparable(arguments["values"], column.type()))
    if kind == "pattern":
        _require_pattern(connection, arguments["regex"], where)
        if not column.type().is_string():
            raise StepFailed(f"{where}: `{arguments['column']}` is {column.type()}; a pattern needs texts")
        return ~_matches(column, ibis.literal(arguments["regex"]))
    if not column.type().is_numeric():
        raise StepFailed(f"{where}: `{arguments['column']}` is {column.type()}; a range needs numbers")
    return _outside(column, arguments)


def _outside(value: Any, arguments: Mapping[str, Any]) -> Any:
    outside = ibis.literal(False)
    for bound, worse in (("min", value.__lt__), ("max", value.__gt__)):
        if arguments.get(bound) is not None:
            outside = outside | worse(arguments[bound])
    return outside


def _require_pattern(connection: Any, regex: str, where: str) -> None:
    try:
        connection.con.execute("SELECT regexp_full_match('', ?)", [regex]).fetchall()
    except duckdb.Error as error:
        raise StepFailed(f"{where}: the pattern {regex!r} cannot be read: {str(error).splitlines()[0]}") from error
