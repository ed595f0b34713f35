"""Where rows come from, what is known of them when, and what they are checked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any, Literal

from ctc.value import Value, frozen

Role = Literal["rows", "features", "labels", "predictions", "holdout"]
"""`holdout`: a table of its own that only judges."""

NO_TIME = "none"
"""The `event_time` of data that has no time."""


@frozen
class Parquet(Value):
    """A Parquet file, a folder of them or a glob; relative paths are relative to the spec's folder."""

    path: str


@frozen
class Csv(Value):
    path: str
    delimiter: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)


@frozen
class Captured(Value):
    """Requests and answers that an online server of this spec has kept."""

    by: str


@frozen
class Join(Value):
    to: str
    key: tuple[str, ...]


@frozen
class Filter(Value):
    """Rows to keep: `kind` and its arguments as they stand in the spec."""

    name: str
    kind: Literal["range", "allowed_values", "pattern", "present"]
    arguments: Mapping[str, Any]


@frozen
class PredictionColumns(Value):
    """What the columns of served rows are called."""

    key: str
    score: str
    model_version: str
    event_time: str


@frozen
class Source(Value):
    """Exactly one of `parquet`, `csv` and `captured` is set."""

    name: str
    role: Role
    parquet: Parquet | None = None
    csv: Csv | None = None
    captured: Captured | None = None
    event_time: str | None = None
    known_at: str | None = None
    timezone: str | None = None
    replayable: bool = True
    key: tuple[str, ...] = ()
    keep: tuple[Filter, ...] = ()
    join: Join | None = None
    columns: PredictionColumns | None = None

    @property
    def path(self) -> str | None:
        """Where its files are; None where it has none of its own."""
        files = self.parquet or self.csv
        return None if files is None else files.path


@frozen
class Label(Value):
    source: str
    column: str
    known_after: timedelta
    absent: Literal["negative", "drop", "error"]


@frozen
class Columns(Value):
    """`drop` columns reach nobody; `audit` columns reach evaluation only, never train or predict."""

    drop: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()


@frozen
class Over(Value):
    """The latest stretch of live rows."""

    source: str
    window: timedelta


@frozen
class Check(Value):
    """One data check: `kind` and its arguments as they stand in the spec, values in base units."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    source: str | None = None
    over: Over | None = None
    on_fail: Literal["stop", "warn", "quarantine"] = "stop"
