"""The rows of a source that its `keep` leaves: filtered before anything else is done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ibis
from ibis.expr import datatypes as dt

from ctc.steps.columns import comparable, missing, require
from ctc.steps.task import StepFailed

Arguments = Mapping[str, Any]


@ibis.udf.scalar.builtin(name="regexp_full_match", signature=((dt.string, dt.string), dt.boolean))  # type: ignore[untyped-decorator]
def _matches(text: str, regex: str) -> bool:  # type: ignore[empty-body]
    """Whether a pattern (RE2) matches the whole text."""


def kept(table: Any, name: str, filters: Sequence[Mapping[str, Any]]) -> Any:
    """The rows of the source `name` for which every filter holds.

    A missing value (NULL or NaN) is no value that is not allowed: only `present` leaves its row out. StepFailed for a
    column that is not there, or is of a type that the filter cannot judge.
    """
    for item in filters:
        arguments, where = item["arguments"], f"source {name}: keep {item['name']}"
        columns = arguments["columns"] if "columns" in arguments else [arguments["column"]]
        for column in columns:
            require(column, table.columns, where)
        table = table.filter(_FILTERS[item["kind"]](table, arguments, where))
    return table


def _range(table: Any, arguments: Arguments, where: str) -> Any:
    column = table[arguments["column"]]
    if not column.type().is_numeric():
        raise StepFailed(f"{where}: `{arguments['column']}` is {column.type()}; a range needs numbers")
    holds = [missing(column)]
    inside = [
        column >= arguments["min"] if arguments.get("min") is not None else ibis.literal(True),
        column <= arguments["max"] if arguments.get("max") is not None else ibis.literal(True),
    ]
    return ibis.or_(*holds, ibis.and_(*inside))


def _allowed_values(table: Any, arguments: Arguments, where: str) -> Any:
    column = table[arguments["column"]]
    values = comparable(list(arguments["values"]), column.type())
    if not values:
        raise StepFailed(
            f"{where}: `{arguments['column']}` is {column.type()}, which can have none of the allowed values"
        )
    return missing(column) | column.isin(values)


def _pattern(table: Any, arguments: Arguments, where: str) -> Any:
    column = table[arguments["column"]]
    if not column.type().is_string():
        raise StepFailed(f"{where}: `{arguments['column']}` is {column.type()}; a pattern needs texts")
    return column.isnull() | _matches(column, ibis.literal(arguments["regex"]))


def _present(table: Any, arguments: Arguments, where: str) -> Any:
    return ibis.and_(*(~missing(table[column]) for column in arguments["columns"]))


_FILTERS: dict[str, Callable[[Any, Arguments, str], Any]] = {
    "range": _range,
    "allowed_values": _allowed_values,
    "pattern": _pattern,
    "present": _present,
}
