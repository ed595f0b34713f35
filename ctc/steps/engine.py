"""The data engine: ibis expressions on an embedded DuckDB, which works beyond memory. Nothing here enters pandas."""

from __future__ import annotations

import glob
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr import datatypes as dt

from ctc.steps import files
from ctc.steps.columns import INSTANT, OWN, in_zone, missing, require, require_comparable
from ctc.steps.keep import kept
from ctc.steps.task import StepFailed

__all__ = [
    "INSTANT",
    "OWN",
    "connect",
    "hold",
    "latest",
    "literal",
    "missing",
    "one",
    "opened",
    "parts",
    "require",
    "require_comparable",
    "table",
    "write",
]

_ASIDE = ".aside"
"""The folder, in that of an output, of what memory does not hold."""


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
            _leave(connection)
            connection.disconnect()
    finally:
        _remove(aside)


def _leave(connection: Any) -> None:
    """Stores that were read in place."""
    if "ctc.steps.remote" in sys.modules:
        from ctc.steps import remote

        remote.leave(connection)


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
    """The rows of a source that its `keep` leaves, instants in UTC.

    StepFailed if it cannot be read, or lacks a column that it names.
    """
    read = files.read(connection, name, source, one)
    taken = [column for column in read.columns if column.lower().startswith(OWN)]
    if taken:
        raise StepFailed(f"source {name}: names with `{OWN}` are ctc's own; rename the column `{taken[0]}`")
    keys = [*source["key"], *(source["join"]["key"] if source["join"] else [])]
    for column in (*keys, source["event_time"], source["known_at"]):
        if column is not None:
            require(column, read.columns, f"source {name}")
    for column in (source.get("columns") or {}).values():
        require(column, read.columns, f"source {name}: `columns`")
    read = kept(read, name, source.get("keep", ()))
    for column in dict.fromkeys(filter(None, (source["event_time"], source["known_at"]))):
        read = read.mutate(**{column: _instant(read[column], name, column, source["timezone"])})
    return read


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
    # Not ibis' `create_table`, which inserts into an empty table: the engine does that on one thread.
    hold_query(connection, name, connection.compile(expression))
    return connection.table(name)


def hold_query(connection: Any, name: str, sql: str) -> None:
    """As `hold`, of a query."""
    with _told():
        connection.raw_sql(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {sql}')


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
    write_file(connection, expression, folder / "data.parquet")


def write_file(connection: Any, expression: Any, file: Path) -> None:
    """Writes a Parquet file."""
    path = str(file).replace("'", "''")
    with _told():
        connection.raw_sql(f"COPY ({connection.compile(expression)}) TO '{path}' (FORMAT parquet)")


def write_csv(connection: Any, expression: Any, folder: Path, delimiter: str) -> None:
    """Writes `data.csv` into an output folder: a header line, then rows; instants as ISO 8601 in UTC, nulls empty."""
    folder.mkdir(parents=True, exist_ok=True)
    path, between = (text.replace("'", "''") for text in (str(folder / "data.csv"), delimiter))
    options = f"FORMAT csv, HEADER, DELIMITER '{between}', TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ'"
    with _told():
        connection.raw_sql(f"COPY ({connection.compile(expression)}) TO '{path}' ({options})")


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


def row(connection: Any, sql: str) -> tuple[Any, ...]:
    """The only row that a query has, as plain values."""
    with _told():
        found: tuple[Any, ...] = connection.con.execute(sql).fetchall()[0]
    return found


def batches(connection: Any, sql: str) -> Iterator[list[Any]]:
    """The rows of a query piece by piece, each a list of numpy arrays, by column.

    The columns are numbers; those with NULL are of floats, and it becomes NaN.
    """
    import numpy as np
    import pyarrow as pa

    with _told():
        for batch in pa.RecordBatchReader.from_stream(connection.con.sql(sql)):
            # Not `to_numpy`, which loads pandas.
            columns = (column.fill_null(math.nan) if column.null_count else column for column in batch.columns)
            yield [np.from_dlpack(column) for column in columns]


def arrays(connection: Any, sql: str) -> list[Any]:
    """All of `batches`, of a query whose rows memory holds; none where there is no row."""
    import numpy as np

    return [np.concatenate(column) for column in zip(*batches(connection, sql), strict=True)]


def fill(connection: Any, sql: str, room: Any) -> None:
    """Writes a query's rows into the array `room`, which has a row for each of its columns and a place for each row.

    StepFailed if there are not as many as places: then somebody has written to the files since the rows were counted.
    """
    start = 0
    for columns in batches(connection, sql):
        end = start + len(columns[0])
        if end <= room.shape[1]:
            for place, column in enumerate(columns):
                room[place, start:end] = column
        start = end
    if start != room.shape[1]:
        raise StepFailed(f"a table had {room.shape[1]} rows, and {start} when it was read again; write to other files")


def threads(connection: Any) -> int:
    """On how many threads the engine works."""
    return int(row(connection, "SELECT current_setting('threads')")[0])


def quoted(name: str) -> str:
    """A column's name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _told() -> Iterator[None]:
    """What the engine could not do (a damaged page, a full disk) as a failure of the step."""
    try:
        yield
    except duckdb.Error as error:
        raise StepFailed(f"the data engine gave up: {files.told(error)}") from error


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
    return in_zone(zone, column.cast(dt.Timestamp()))
