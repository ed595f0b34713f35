"""The data engine: ibis expressions on an embedded DuckDB, which works beyond memory. Nothing here enters pandas."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
from ibis.expr import datatypes as dt

from ctc.steps.storage import local_path
from ctc.steps.task import StepFailed

INSTANT = dt.Timestamp(timezone="UTC")


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.Timestamp()), INSTANT))  # type: ignore[untyped-decorator]
def _in_zone(zone: str, naive: datetime) -> datetime:  # type: ignore[empty-body]
    """DuckDB's reading of a naive timestamp as the wall clock of a zone."""


def connect() -> Any:
    """A fresh engine in UTC, bounded by `CTC_ENGINE_MEMORY` (such as `4GB`) and `CTC_ENGINE_THREADS`."""
    connection = ibis.duckdb.connect(temp_directory=tempfile.gettempdir())
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql("SET enable_progress_bar = false")
    for variable, setting in (("CTC_ENGINE_MEMORY", "memory_limit"), ("CTC_ENGINE_THREADS", "threads")):
        value = os.environ.get(variable)
        if value:
            if not value.replace(".", "").isalnum():
                raise StepFailed(f"{variable} is {value!r}; write a number, or a size such as 4GB")
            connection.raw_sql(f"SET {setting} = '{value}'")
    return connection


def table(connection: Any, name: str, source: Mapping[str, Any]) -> Any:
    """A source as a table whose instants are UTC. StepFailed if it cannot be read, or lacks a column that it names."""
    read = _read(connection, name, source["parquet"])
    keys = [*source["key"], *(source["join"]["key"] if source["join"] else [])]
    for column in (*keys, source["event_time"], source["known_at"]):
        if column is not None:
            require(column, read.columns, f"source {name}")
    for column in dict.fromkeys(filter(None, (source["event_time"], source["known_at"]))):
        read = read.mutate(**{column: _instant(read[column], name, column, source["timezone"])})
    return read


def require(column: str, columns: Iterable[str], where: str) -> None:
    """StepFailed, with the columns that there are, unless `column` is one of them."""
    known = list(columns)
    if column not in known:
        close = difflib.get_close_matches(column, known, 1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise StepFailed(f"{where} has no column `{column}`{hint} It has: {', '.join(known)}")


def literal(instant: datetime) -> Any:
    """An instant as a value of the engine."""
    return ibis.literal(instant.isoformat()).cast(INSTANT)


def latest(read: Any, keys: list[str], by: str) -> Any:
    """One row for each of `keys` and instant `by`: where several tie, the greatest, so that the answer is one."""
    others = [read[column].desc() for column in sorted(read.columns) if column not in keys and column != by]
    number = ibis.row_number().over(ibis.window(group_by=[*keys, by], order_by=others or [read[by]]))
    return read.mutate(_tie=number).filter(ibis._._tie == 0).drop("_tie")


def write(connection: Any, expression: Any, folder: Path) -> None:
    """Writes `data.parquet` into an output folder."""
    folder.mkdir(parents=True, exist_ok=True)
    connection.to_parquet(expression, folder / "data.parquet")


def one(connection: Any, expression: Any) -> dict[str, Any]:
    """The only row of an aggregation, as plain values."""
    row: dict[str, Any] = connection.to_pyarrow(expression).to_pylist()[0]
    return row


def _read(connection: Any, name: str, uri: str) -> Any:
    import duckdb

    path = local_path(uri)
    pattern = str(path / "**" / "*.parquet") if path.is_dir() else str(path)
    if not path.is_dir() and not any(sign in pattern for sign in "*?[") and not path.is_file():
        raise StepFailed(f"source {name}: there is no file or folder {uri}")
    try:
        return connection.read_parquet(pattern)
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StepFailed(f"source {name}: {uri} cannot be read as Parquet: {said}") from error


def _instant(column: Any, source: str, name: str, zone: str | None) -> Any:
    kind = column.type()
    if kind.is_date():
        column, kind = column.cast("timestamp"), dt.Timestamp()
    if not kind.is_timestamp():
        raise StepFailed(f"source {source}: `{name}` is {kind}, not a timestamp; write it as one")
    if kind.timezone is not None:
        return column.cast(INSTANT)
    if zone is None:
        raise StepFailed(
            f"source {source}: `{name}` has no zone; say whose clock it shows with `timezone:` beside it, "
            "for instance `timezone: UTC`"
        )
    return _in_zone(zone, column.cast(dt.Timestamp()))
