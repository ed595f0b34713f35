"""The data engine: ibis expressions on an embedded DuckDB, which works beyond memory. Nothing here enters pandas."""

from __future__ import annotations

import difflib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr import datatypes as dt

from ctc.steps.storage import local_path
from ctc.steps.task import StepFailed

INSTANT = dt.Timestamp(timezone="UTC")

OWN = "_ctc_"
"""Columns that the steps add for themselves start so; no column of a source may."""

_ASIDE = ".aside"
"""The folder, in that of an output, of what memory does not hold."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.Timestamp()), INSTANT))  # type: ignore[untyped-decorator]
def _in_zone(zone: str, naive: datetime) -> datetime:  # type: ignore[empty-body]
    """DuckDB's reading of a naive timestamp as the wall clock of a zone."""


@ibis.udf.scalar.builtin(name="isfinite", signature=((dt.float64,), dt.boolean))  # type: ignore[untyped-decorator]
def _finite(number: float) -> bool:  # type: ignore[empty-body]
    """False for NaN and the infinities."""


def missing(column: Any) -> Any:
    """Whether a value is NULL or NaN; true or false, never NULL."""
    if not column.type().is_floating():
        return column.isnull()
    # Not `isnan`: DuckDB takes it for false wherever a Parquet file's statistics, which leave NaN out, are finite.
    number = column.cast("float64")
    return column.isnull() | ~(_finite(number) | number.isinf()).fill_null(True)


@contextmanager
def opened(output: Path | None = None) -> Iterator[Any]:
    """An engine that is closed afterwards, and leaves nothing of what it laid aside, also after a failure.

    It lays aside what memory does not hold: on the disk of `output`, which has room for rows, or with the temporary
    files. What a killed process left in `output` goes first.
    """
    aside = Path(tempfile.mkdtemp(prefix="ctc-")) if output is None else output / _ASIDE
    _remove(aside)
    try:
        connection = connect(aside)
        try:
            yield connection
        finally:
            connection.disconnect()
    finally:
        _remove(aside)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def connect(aside: Path | None = None) -> Any:
    """A fresh engine in UTC, bounded by `CTC_ENGINE_MEMORY` (such as `4GB`) and `CTC_ENGINE_THREADS`.

    `aside` is the folder for what memory does not hold, that of temporary files if there is none.
    """
    connection = ibis.duckdb.connect(temp_directory=str(aside or tempfile.gettempdir()))
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql("SET enable_progress_bar = false")
    # Parquet's statistics leave NaN out; DuckDB 2.0 concludes from them that `isnan` is false and lets NaN pass.
    connection.raw_sql("SET disabled_optimizers = 'statistics_propagation'")
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
    taken = [column for column in read.columns if column.lower().startswith(OWN)]
    if taken:
        raise StepFailed(f"source {name}: names with `{OWN}` are ctc's own; rename the column `{taken[0]}`")
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
        hint = f" did you mean `{close[0]}`?" if close else ""
        raise StepFailed(f"{where} has no column `{column}`;{hint} it has: {', '.join(known)}")


def require_comparable(one: Any, other: Any, where: str) -> None:
    """StepFailed unless two key columns hold values that can be equal."""
    kinds = one.type(), other.type()
    if not (kinds[0].is_integer() and kinds[1].is_integer()) and kinds[0].copy(nullable=True) != kinds[1].copy(
        nullable=True
    ):
        raise StepFailed(f"{where}: the key is {kinds[0]} on one side and {kinds[1]} on the other; write one type")


def literal(instant: datetime) -> Any:
    """An instant as a value of the engine."""
    return ibis.literal(instant.isoformat()).cast(INSTANT)


def latest(read: Any, keys: list[str], by: str) -> Any:
    """One row for each of `keys` and instant `by`; of several that tie the greatest, so that the answer is one."""
    others = [read[column].desc() for column in sorted(read.columns) if column not in keys and column != by]
    number = ibis.row_number().over(ibis.window(group_by=[*keys, by], order_by=others or [read[by]]))
    return read.mutate(_ctc_tie=number).filter(ibis._._ctc_tie == 0).drop("_ctc_tie")


def hold(connection: Any, name: str, expression: Any) -> Any:
    """The expression, worked out once and kept for this process as the table `name`, in place of what it held."""
    with _told():
        # Not ibis' `create_table`, which inserts into an empty table: the engine does that on one thread.
        connection.raw_sql(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {connection.compile(expression)}')
    return connection.table(name)


def asked(connection: Any, sql: str) -> dict[str, list[Any]]:
    """As `fetched`, of an expression that was compiled before."""
    with _told():
        columns: dict[str, list[Any]] = connection.con.sql(sql).to_arrow_table().to_pydict()
    return columns


def parts(connection: Any, folders: Iterable[Path]) -> Any:
    """The rows of several folders that `write` filled; their columns are the first one's."""
    return connection.read_parquet([glob.escape(str(folder / "data.parquet")) for folder in folders])


def write(connection: Any, expression: Any, folder: Path) -> None:
    """Writes `data.parquet` into an output folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / "data.parquet").replace("'", "''")
    with _told():
        connection.raw_sql(f"COPY ({connection.compile(expression)}) TO '{path}' (FORMAT parquet)")


def one(connection: Any, expression: Any) -> dict[str, Any]:
    """The only row of an aggregation, as plain values."""
    with _told():
        # Not `to_pyarrow`, which loads pandas: a quarter of a second in every step.
        row: dict[str, Any] = connection.con.sql(connection.compile(expression)).to_arrow_table().to_pylist()[0]
    return row


def fetched(connection: Any, expression: Any) -> dict[str, list[Any]]:
    """A small table, as lists of plain values by column."""
    with _told():
        columns: dict[str, list[Any]] = connection.con.sql(connection.compile(expression)).to_arrow_table().to_pydict()
    return columns


@contextmanager
def _told() -> Iterator[None]:
    """What the engine could not do (a damaged page, a full disk) as a failure of the step."""
    try:
        yield
    except duckdb.Error as error:
        raise StepFailed(f"the data engine gave up: {str(error).splitlines()[0]}") from error


def _read(connection: Any, name: str, uri: str) -> Any:
    path = local_path(uri)
    pattern = str(path)
    if path.is_dir():
        pattern = f"{glob.escape(pattern)}/**/*.parquet"
    elif path.is_file():
        pattern = glob.escape(pattern)
    elif not glob.has_magic(pattern):
        raise StepFailed(f"source {name}: there is no file or folder {uri}")
    try:
        return _typed(connection.read_parquet(pattern))
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StepFailed(f"source {name}: {uri} cannot be read as Parquet: {said}") from error


def _typed(read: Any) -> Any:
    """Columns of types that ibis has no name for: instants in nanoseconds, and those without any value."""
    unknown = {column: str(kind) for column, kind in read.schema().items() if kind.is_unknown()}
    casts = {column: INSTANT for column, kind in unknown.items() if "TIMESTAMPTZ_NS" in kind}
    casts |= {column: dt.string for column, kind in unknown.items() if '"NULL"' in kind}
    return read.cast(casts) if casts else read


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
