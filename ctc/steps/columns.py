"""Columns of the engine: which there are, what they can hold, and what counts as missing in them."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from datetime import datetime
from typing import Any

import ibis
from ibis.expr import datatypes as dt

from ctc.steps.task import StepFailed

OWN = "_ctc_"
"""Columns that the steps add for themselves start so; no column of a source may."""

INSTANT = dt.Timestamp(timezone="UTC")


@ibis.udf.scalar.builtin(name="isfinite", signature=((dt.float64,), dt.boolean))  # type: ignore[untyped-decorator]
def _finite(number: float) -> bool:  # type: ignore[empty-body]
    """False for NaN and the infinities."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.Timestamp()), INSTANT))  # type: ignore[untyped-decorator]
def in_zone(zone: str, naive: datetime) -> datetime:  # type: ignore[empty-body]
    """DuckDB's reading of a naive timestamp as the wall clock of a zone."""


def missing(column: Any) -> Any:
    """Whether a value is NULL or NaN; true or false, never NULL."""
    if not column.type().is_floating():
        return column.isnull()
    # Not `isnan`: DuckDB takes it for false wherever a Parquet file's statistics, which leave NaN out, are finite.
    number = column.cast("float64")
    return column.isnull() | ~(_finite(number) | number.isinf()).fill_null(True)


def present(column: Any) -> Any:
    """The column with NULL in place of NaN: to count with, not to filter by, which is left to files' statistics."""
    return column.nullif(float("nan")) if column.type().is_floating() else column


def require(column: str, columns: Collection[str], where: str) -> None:
    """StepFailed, with the columns that there are, unless `column` is one of them."""
    known = [name for name in columns if not name.startswith(OWN)]
    if column not in known and column not in columns:
        close = difflib.get_close_matches(column, known, 1)
        hint = f" did you mean `{close[0]}`?" if close else ""
        raise StepFailed(f"{where} has no column `{column}`;{hint} it has: {', '.join(known)}")


def require_comparable(one: Any, other: Any, where: str) -> None:
    """StepFailed unless two key columns hold values that can be equal."""
    kinds = one.type(), other.type()
    if not (kinds[0].is_integer() and kinds[1].is_integer()) and kinds[0].copy(nullable=True) != kinds[1].copy(
        nullable=True
    ):
        raise StepFailed(f"{where}: the key is {kinds[0]} on one side and {kinds[1]} on the other; write one type")


def comparable(values: list[Any], kind: Any) -> list[Any]:
    """Those of `values` that a column of this type can have at all: as text in one of text, 0 as false, 1 as true."""
    if kind.is_string():
        return [str(value) for value in values]
    numbers = [value for value in values if isinstance(value, int | float)]
    if kind.is_boolean():
        return [bool(value) for value in numbers if value in (0, 1)]
    return [value + 0 for value in numbers] if kind.is_numeric() else []
