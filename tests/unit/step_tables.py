"""Small sources and documents for the tests of the data steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher
from ctc.steps.ports import Services
from ctc.steps.task import Result, Task

HOUR = 3600.0
DAY = 24 * HOUR
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
INSTANT = pa.timestamp("us", "UTC")


class NoRegistry:
    """A registry that data steps have no business with."""

    def register(self, model: str, **_: Any) -> str:
        raise AssertionError("a data step registers nothing")

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        raise AssertionError("a data step moves no alias")

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        raise AssertionError("a data step takes nothing away")


def services(folder: Path) -> Services:
    objects = FileObjectStore(folder / "root", "s3://bucket/toy/prod")
    return Services(FileStateStore(folder / "root"), objects, LocalLauncher(objects), NoRegistry())


def at(hours: float) -> dt.datetime:
    """An instant, in hours after START."""
    return START + dt.timedelta(hours=hours)


def store(file: Path, columns: Mapping[str, pa.DataType], rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes a table of stated types, so that columns without a value have one too; returns its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], pa.schema(list(columns.items()))), file)
    return str(file)


def load(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "data.parquet").to_pylist()
    return rows


def columns(folder: Path) -> list[str]:
    names: list[str] = pq.read_schema(folder / "data.parquet").names
    return names


def source(role: str, parquet: str, **more: Any) -> dict[str, Any]:
    """A source of a step document; `join` is the list of its key columns."""
    nothing = dict.fromkeys(("event_time", "known_at", "timezone", "columns"))
    found = {"role": role, "parquet": parquet, "key": [], **nothing} | more
    found["join"] = {"to": "main", "key": more["join"]} if "join" in more else None
    return found


def windows(**more: Any) -> dict[str, Any]:
    section = {
        "known_after": 4 * HOUR,
        "holdout": 10 * HOUR,
        "gap": 0.0,
        "window": 20 * HOUR,
        "since": None,
        "validation_share": 0.25,
        "min_rows": 1,
        "holdout_min_rows": 1,
        "holdout_min_positives": 0,
    }
    return section | more


def data(sources: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The section `data`, its label in the source `labels` after four hours."""
    label = {"source": "labels", "column": "y", "known_after": 4 * HOUR, "absent": "drop"} | more.pop("label", {})
    hidden = {"drop": more.pop("drop", []), "audit": more.pop("audit", [])}
    return {"task": "binary", "sources": sources, "rows": "main", "label": label, "columns": hidden} | more


def task(step: str, folder: Path, now: dt.datetime, inputs: Mapping[str, Path] | None = None, **policy: Any) -> Task:
    """A step's task whose outputs are folders below `folder`."""
    names = {"snapshot": ("train", "valid", "rows", "holdout", "quarantine"), "evaluate": ("evaluation", "scores")}.get(
        step, ()
    )
    outputs = {name: folder / "out" / name for name in names}
    policy.setdefault("validation", {"checks": []})
    document = {"version": 1, "step": step, "root": "s3://bucket/toy/prod", "policy": policy}
    return Task(step, document, now, "a1", inputs=inputs or {}, outputs=outputs)


__all__ = ["DAY", "HOUR", "INSTANT", "START", "Result", "Task"]
