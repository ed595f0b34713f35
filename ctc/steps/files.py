"""The files of a source, Parquet or CSV, as a table of the engine."""

from __future__ import annotations

import csv
import glob
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import duckdb
import ibis
from ibis.expr import datatypes as dt

from ctc.steps.columns import INSTANT, in_zone, require
from ctc.steps.storage import is_remote, local_path
from ctc.steps.task import StepFailed

_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "VARCHAR",
}
"""The engine's type by the language's. A time is read as text first: its offset, or that it has none, must be seen."""

_OFFSET = r":\d{2}(\.\d+)?\s*([zZ]|[+-]\d{2}(:?\d{2})?)$"

One = Callable[[Any, Any], dict[str, Any]]


def read(connection: Any, name: str, source: Mapping[str, Any], one: One) -> Any:
    """The rows of the source `name`; `one` answers an aggregation. StepFailed if its files cannot be read."""
    described = source.get("csv")
    if described is not None:
        return _csv(connection, name, described, source["timezone"], one)
    uri = source["parquet"]
    try:
        return _typed(connection.read_parquet(_pattern(connection, name, uri, "parquet")))
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StepFailed(f"source {name}: {uri} cannot be read as Parquet: {said}") from error


def told(error: duckdb.Error) -> str:
    """What the engine says, in one line; of a CSV file with its line and column, where it tells them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "CSV Error on Line" not in lines[0]:
        return lines[0]
    file = next((line.removeprefix("file = ") for line in lines if line.startswith("file = ")), "")
    said = next((line for line in lines[1:] if line.startswith(("Error", "Expected", "Value", "Maximum"))), lines[-1])
    number = lines[0].rpartition(":")[2].strip()
    original = next((line for line in lines if line.startswith("Original Line: ")), "")
    row = original.removeprefix("Original Line: ")
    return f"{file}, line {number}: {said}; the line is {row!r}"


def _pattern(connection: Any, name: str, uri: str, suffix: str) -> str:
    if is_remote(uri):
        # Its clients take half a second to load, and most runs read files of this machine.
        from ctc.steps import remote

        return remote.pattern(connection, name, uri, suffix)
    path = local_path(uri)
    if path.is_dir():
        return f"{glob.escape(str(path))}/**/*.{suffix}"
    if path.is_file():
        return glob.escape(str(path))
    if not glob.has_magic(str(path)):
        raise StepFailed(f"source {name}: there is no file or folder {uri}")
    return str(path)


def _typed(read: Any) -> Any:
    """Columns of types that ibis has no name for: instants in nanoseconds, and those without any value."""
    unknown = {column: str(kind) for column, kind in read.schema().items() if kind.is_unknown()}
    casts = {column: INSTANT for column, kind in unknown.items() if "TIMESTAMPTZ_NS" in kind}
    casts |= {column: dt.string for column, kind in unknown.items() if '"NULL"' in kind}
    return read.cast(casts) if casts else read


def _csv(connection: Any, name: str, described: Mapping[str, Any], zone: str | None, one: One) -> Any:
    """A column is text unless `columns` says otherwise; an empty field is a missing value."""
    pattern, delimiter = _pattern(connection, name, described["path"], "csv"), described["delimiter"]
    header = _header(connection, name, pattern, described["path"], delimiter)
    for column in described["columns"]:
        require(column, header, f"source {name}: `csv.columns`: the file")
    types = {column: _TYPES[described["columns"].get(column, "string")] for column in header}
    try:
        table = connection.read_csv(
            pattern, columns=types, header=True, auto_detect=False, delim=delimiter, quote='"', escape='"'
        )
    except duckdb.Error as error:
        raise StepFailed(f"source {name}: {told(error)}") from error
    for column, kind in described["columns"].items():
        if kind == "timestamp":
            table = table.mutate(**{column: _time(connection, name, table, column, zone, one)})
    return table


def _header(connection: Any, name: str, pattern: str, uri: str, delimiter: str) -> list[str]:
    """The columns, which all files of a source have in one order: they are read by their place."""
    found = connection.con.sql("SELECT file FROM glob(?) ORDER BY file", params=[pattern]).fetchall()
    files = [str(row[0]) for row in found]
    if not files:
        raise StepFailed(f"source {name}: {uri} cannot be read as CSV: no files found")
    first: list[str] = []
    for file in files:
        columns = _first_line(name, file, delimiter)
        if not first:
            first = columns
        elif columns != first:
            raise StepFailed(
                f"source {name}: the header of {file} is not that of {files[0]}: {delimiter.join(columns)} and "
                f"{delimiter.join(first)}; write the same columns in one order"
            )
    return first


def _opened(file: str) -> IO[str]:
    if is_remote(file):
        from ctc.steps import remote

        return remote.text(file)
    return Path(file).open(encoding="utf-8-sig", newline="")


def _first_line(name: str, file: str, delimiter: str) -> list[str]:
    try:
        with _opened(file) as lines:
            columns = next(csv.reader(lines, delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StepFailed(f"source {name}: {file}, line 1: {error}; write CSV in UTF-8 with a header") from error
    if not columns or not all(columns):
        raise StepFailed(f"source {name}: {file}, line 1: the header does not name every column")
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise StepFailed(f"source {name}: {file}, line 1: the header names `{repeated[0]}` twice")
    return columns


def _time(connection: Any, name: str, table: Any, column: str, zone: str | None, one: One) -> Any:
    """Texts with an offset are instants; without one they need the source's `timezone`. StepFailed for other texts."""
    text = table[column]
    offset = text.re_search(_OFFSET)
    naive, instant = text.try_cast(dt.Timestamp()), text.try_cast(INSTANT)
    bad = text.notnull() & (instant.isnull() if zone is None else naive.isnull())
    if zone is None:
        bad = bad | (text.notnull() & ~offset)
    found = one(connection, table.aggregate(bad=bad.sum(), first=ibis.ifelse(bad, text, ibis.null(dt.string)).min()))
    if found["bad"]:
        advice = "write ISO 8601, 2024-01-31T06:00:00Z"
        if zone is None:
            advice += ", or say whose clock times without an offset show with `timezone:` beside it"
        raise StepFailed(
            f"source {name}: `{column}` is no instant in {found['bad']} rows, such as {found['first']!r}; {advice}"
        )
    return instant if zone is None else ibis.ifelse(offset, instant, in_zone(zone, naive))
