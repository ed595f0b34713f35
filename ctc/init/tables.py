"""The Parquet tables of a folder, and what their columns hold, read by an embedded DuckDB."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from ctc.diagnostics import CtcError

Kind = Literal["time", "number", "boolean", "text", "other"]

FEW = 12
"""A text column with so many values or fewer is a category whose values are listed."""

MAX_DEPTH, MAX_FILES = 5, 5000
_PRIVATE = {"__pycache__", "node_modules", "site-packages", "mlruns", "venv", "env"}
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*")
_PARTITION = re.compile(r"[^=]+=.*")


@dataclass(frozen=True)
class Column:
    """One column. `low` and `high` are numbers, or microseconds since 1970 in UTC; None where there is no value.

    `distinct` is approximate. `values` are all there are, of a text column with few. `binary`: nothing but 0 and 1.
    """

    name: str
    kind: Kind
    type: str
    missing: int
    distinct: int
    low: float | int | None = None
    high: float | int | None = None
    whole: bool = False
    binary: bool = False
    zoned: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A file, a folder or a glob of Parquet. `unique` are the columns of which each alone tells the rows apart."""

    path: Path
    rows: int
    columns: tuple[Column, ...]
    unique: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's or the folder's name, without what does not name the data."""
        return self.path.parent.name if "*" in self.path.name else self.path.name.removesuffix(".parquet")

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def of_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind in kinds)


@dataclass
class Database:
    """DuckDB in UTC. Every failure is a CtcError that names the table."""

    _connection: Any = field(default=None)

    def __enter__(self) -> Database:
        try:
            duckdb: Any = import_module("duckdb")
        except ImportError as error:
            raise CtcError(
                "reading the data needs duckdb, which is not installed here",
                "install it with: pip install 'ctc-compiler[runtime]'",
            ) from error
        self._error = duckdb.Error
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET enable_progress_bar = false")
        # Parquet's statistics leave NaN out, and DuckDB concludes from them that there is none.
        self._connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self, sql: str, about: Path) -> list[tuple[Any, ...]]:
        """Every row of a query; CtcError, with the file's name, if it cannot be answered."""
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        except self._error as error:
            said = str(error).splitlines()[0]
            raise CtcError(f"{about} cannot be read as Parquet: {said}", "mend the file, or move it away") from error
        return found

    def one(self, sql: str, about: Path) -> tuple[Any, ...]:
        return self.rows(sql, about)[0]


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def scan(path: Path) -> str:
    """A table's path in SQL, as the engine of the steps reads it."""
    text = str(path)
    if path.is_dir():
        text = f"{glob.escape(text)}/**/*.parquet"
    elif path.exists():
        text = glob.escape(text)
    return "read_parquet('" + text.replace("'", "''") + "')"


def instant(column: Column) -> str:
    """A time column in SQL, as microseconds since 1970; one without a zone is taken for UTC."""
    return f"epoch_us(CAST({quoted(column.name)} AS {'TIMESTAMPTZ' if column.zoned else 'TIMESTAMP'}))"


def find(folder: Path) -> tuple[Path, ...]:
    """The tables below a folder: single files, and folders whose files have one schema by their names."""
    found: list[Path] = []
    for place, files in _parquet_folders(folder).items():
        numbered = len(files) > 1 and len({_stem(file) for file in files}) == 1
        if _PARTITION.fullmatch(place.name) and place != folder:
            root = place
            while _PARTITION.fullmatch(root.name) and root != folder:
                root = root.parent
            found.append(root)
        elif numbered:
            alone = place != folder and not _has_parquet_below(place, files)
            found.append(place if alone else place / "*.parquet")
        else:
            found += files
    return tuple(dict.fromkeys(sorted(found)))


def csv_files(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in _walk(folder) if re.search(r"\.(csv|tsv)(\.gz)?$", path.name, re.IGNORECASE))


def profile(database: Database, path: Path) -> Table:
    """What a table holds. CtcError if it cannot be read."""
    described = database.rows(f"DESCRIBE SELECT * FROM {scan(path)}", path)
    columns = [_bare(str(name), str(kind)) for name, kind, *_ in described]
    asked = ["count(*)"]
    for column in columns:
        asked += _measures(column)
    numbers = iter(database.one(f"SELECT {', '.join(asked)} FROM {scan(path)}", path))
    rows = int(next(numbers))
    measured = tuple(_measured(column, rows, numbers) for column in columns)
    listed = tuple(_with_values(database, path, column) for column in measured)
    unique = tuple(column.name for column in listed if _is_unique(database, path, rows, column))
    return Table(path, rows, listed, unique)


def identifies(database: Database, table: Table, columns: Sequence[str]) -> bool:
    """Whether these columns together tell all rows apart, none of them missing."""
    some = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in columns)
    counted = f"SELECT {', '.join(map(quoted, columns))} FROM {scan(table.path)} WHERE {some} GROUP BY ALL"
    [count] = database.one(f"SELECT count(*) FROM ({counted})", table.path)
    return int(count) == table.rows


def time_in_text(database: Database, table: Table) -> tuple[str, ...]:
    """The text columns whose every value reads as a time."""
    found = []
    for column in table.of_kind("text"):
        name = quoted(column.name)
        sql = f"SELECT count({name}), count(TRY_CAST({name} AS TIMESTAMPTZ)) FROM {scan(table.path)}"
        present, read = database.one(sql, table.path)
        if present and present == read:
            found.append(column.name)
    return tuple(found)


def _parquet_folders(folder: Path) -> Mapping[Path, list[Path]]:
    found: dict[Path, list[Path]] = {}
    for path in _walk(folder):
        if path.name.lower().endswith(".parquet"):
            found.setdefault(path.parent, []).append(path)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder in a stable order, neither hidden ones nor those of installed packages."""
    count = 0
    for place, names, files in os.walk(folder):
        here = Path(place)
        deep = len(here.relative_to(folder).parts) >= MAX_DEPTH
        names[:] = [] if deep else sorted(name for name in names if is_visible(here / name))
        for name in sorted(files):
            count += 1
            if count > MAX_FILES:
                return
            if not name.startswith((".", "_")):
                yield here / name


def is_visible(folder: Path) -> bool:
    """Whether a folder can hold what a user wrote: hidden folders and environments do not."""
    return not folder.name.startswith(".") and folder.name not in _PRIVATE and not (folder / "pyvenv.cfg").is_file()


def _stem(file: Path) -> str:
    """A file's name without its numbers: parts of one table differ in nothing else."""
    return re.sub(r"(?:[-_.]?[0-9a-f]*\d[0-9a-f-]*)+", "#", file.name.removesuffix(".parquet").lower())


def _has_parquet_below(folder: Path, own: Sequence[Path]) -> bool:
    return any(path not in own for path in folder.rglob("*.parquet"))


def _bare(name: str, kind: str) -> Column:
    found: Kind = "other"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        found = "time"
    elif kind == "BOOLEAN":
        found = "boolean"
    elif _NUMBERS.fullmatch(kind):
        found = "number"
    elif kind in ("VARCHAR", "UUID") or kind.startswith("ENUM"):
        found = "text"
    zoned = "TIME ZONE" in kind or "TZ" in kind
    return Column(name, found, kind, 0, 0, whole=kind.endswith(("INT", "INTEGER")), zoned=zoned)


def _is_float(column: Column) -> bool:
    return column.type in ("FLOAT", "DOUBLE")


def _measures(column: Column) -> list[str]:
    name = quoted(column.name)
    if column.kind == "other":
        return [f"count({name})"]
    if column.kind == "text":
        return [f"count({name})", f"approx_count_distinct({name})"]
    if column.kind == "time":
        return [
            f"count({name})",
            f"approx_count_distinct({name})",
            f"min({instant(column)}) FILTER (WHERE isfinite({name}))",
            f"max({instant(column)}) FILTER (WHERE isfinite({name}))",
        ]
    if column.kind == "boolean":
        return [f"count({name})", f"approx_count_distinct({name})"]
    finite = f" FILTER (WHERE isfinite({name}))" if _is_float(column) else ""
    present = f"count({name}) FILTER (WHERE NOT isnan({name}))" if _is_float(column) else f"count({name})"
    number = name if column.whole else f"CAST({name} AS DOUBLE)"
    return [
        present,
        f"approx_count_distinct({name}){finite}",
        f"min({number}){finite}",
        f"max({number}){finite}",
        f"count({name}) FILTER (WHERE {name} NOT IN (0, 1))",
    ]


def _measured(column: Column, rows: int, numbers: Iterator[Any]) -> Column:
    missing = rows - int(next(numbers))
    if column.kind == "other":
        return replace(column, missing=missing)
    distinct = int(next(numbers))
    if column.kind in ("text", "boolean"):
        return replace(column, missing=missing, distinct=distinct, binary=column.kind == "boolean")
    low, high = next(numbers), next(numbers)
    others = int(next(numbers)) if column.kind == "number" else 1
    binary = low is not None and not others
    return replace(column, missing=missing, distinct=distinct, low=low, high=high, binary=binary)


def _with_values(database: Database, path: Path, column: Column) -> Column:
    """A text column with its values, where they are few."""
    if column.kind != "text" or not 0 < column.distinct <= FEW + 2:
        return column
    name = quoted(column.name)
    sql = f"SELECT DISTINCT CAST({name} AS VARCHAR) AS v FROM {scan(path)} WHERE {name} IS NOT NULL ORDER BY v"
    values = tuple(str(value) for [value] in database.rows(f"{sql} LIMIT {FEW + 1}", path))
    if len(values) > FEW:
        return column
    return replace(column, distinct=len(values), values=values)


def _is_unique(database: Database, path: Path, rows: int, column: Column) -> bool:
    if rows == 0 or column.missing or not (column.kind == "text" or column.whole) or column.distinct < 0.8 * rows:
        return False
    [distinct] = database.one(f"SELECT count(DISTINCT {quoted(column.name)}) FROM {scan(path)}", path)
    return int(distinct) == rows
