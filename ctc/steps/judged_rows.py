"""The rows that a data check judges: the joined snapshot, a source, or the latest stretch of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ctc.steps import engine
from ctc.steps.parts import PART
from ctc.steps.task import StepFailed, Task

Check = Mapping[str, Any]

PARTS = ("train", "valid", "holdout")


@dataclass(frozen=True)
class Place:
    """A table. Without `source` it is the joined snapshot; `window` (seconds) is the latest stretch of a source."""

    source: str | None
    window: float | None = None

    def __str__(self) -> str:
        return "the joined snapshot" if self.source is None else f"source {self.source}"


def place(check: Check, data: Mapping[str, Any]) -> Place:
    """Where a check looks. Freshness without a source is the main one's: the snapshot ends where labels do."""
    over = check.get("over")
    if over is not None:
        return Place(over["source"], float(over["window"]))
    return Place(check["source"] or (data["rows"] if check["kind"] == "freshness" else None))


def rows(connection: Any, task: Task, at: Place) -> Any:
    """The rows of a place that were known at the instant; of a window those whose event lies in `[now - window, now)`.

    StepFailed if a source cannot be read, or a window asks for times that it does not have.
    """
    if at.source is None:
        return snapshot(connection, task)
    described = task.policy["data"]["sources"][at.source]
    read = engine.table(connection, at.source, described)
    known = described["known_at"] or described["event_time"]
    if known is not None:
        read = read.filter(read[known] <= engine.literal(task.instant))
    if at.window is None:
        return read
    event = described["event_time"] or described["known_at"]
    if event is None:
        raise StepFailed(f"{at} has no time, so no row of it is of the latest; give it `event_time:`")
    start = task.instant - timedelta(seconds=at.window)
    return read.filter((read[event] >= engine.literal(start)) & (read[event] < engine.literal(task.instant)))


def snapshot(connection: Any, task: Task) -> Any:
    """The joined snapshot, without the rows of fixed sources that stand beside the holdout."""
    read = engine.parts(connection, [task.inputs[part] for part in PARTS])
    judging = engine.parts(connection, [task.inputs["holdout"]])
    if PART not in judging.columns:
        return read
    return read.anti_join(judging.filter(judging[PART].notnull()), "row_id")


def known(at: Place, data: Mapping[str, Any], where: str) -> str:
    """The column that says when a row of a source became known. StepFailed if it has none."""
    described = data["sources"][at.source]
    column: str | None = described["known_at"] or described["event_time"]
    if column is None:
        raise StepFailed(f"{where} does not say when its rows are known; give it `known_at:` or `event_time:`")
    return column


def require(columns: list[str], table: Any, at: Place, where: str, data: Mapping[str, Any]) -> None:
    """StepFailed unless the table has the columns, in all of its rows."""
    for column in columns:
        if at.source is None and column in data["columns"]["audit"]:
            raise StepFailed(f"{where} has the audit column `{column}` in the holdout only; name the check's `source`")
        engine.require(column, table.columns, where)
