"""The checks `drift` and `skew`: is the snapshot distributed as a baseline, and as what was served?

`drift` compares the joined snapshot (with `source` or `over`: those rows) with the profile of the champion's or the
first champion's training rows, or with the same window a year before in the main source. `skew` compares the served
rows of the snapshot's time span with the snapshot. A check fails if one column is over its `max`; one that depends on a
column that cannot be judged, or has no baseline yet, is not evaluable, which stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import ibis

from ctc.policy import live_rules
from ctc.policy.live import YEAR
from ctc.policy.profile import Column
from ctc.policy.statistics import NotEvaluable
from ctc.policy.windows import format_instant
from ctc.steps import engine, judged_rows, profile, results, served
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed, Task

MIN_ROWS = 100
"""The least rows of each side. With fewer, ten bins of two samples of the same data have a PSI of 0.2 by chance."""

Answer = Literal["pass", "fail", "not_evaluable"]
Check = Mapping[str, Any]


def judge(connection: Any, task: Task, services: Services, check: Check) -> tuple[Answer, str, dict[str, Any]]:
    """One check's answer, why, and its numbers. StepFailed if a source cannot be read, or lacks a column."""
    arguments = check["arguments"]
    columns: list[str] = list(arguments["columns"])
    try:
        if check["kind"] == "skew":
            baseline, current = _skew(connection, task, services, arguments["source"], columns)
        else:
            baseline = _baseline(connection, task, services, check, columns)
            current = _profile(connection, _rows(connection, task, check), columns, _where(check))
    except NotEvaluable as error:
        return "not_evaluable", str(error), {"method": arguments["method"]}
    over, reason, numbers = live_rules.judge_drift(
        arguments["method"],
        columns,
        baseline,
        current,
        line=live_rules.fixed_line(float(arguments["max"])),
        min_rows=MIN_ROWS,
    )
    given: Answer = "not_evaluable" if over is None else "fail" if over else "pass"
    return given, reason, numbers


def _where(check: Check) -> str:
    over = check.get("over")
    source = over["source"] if over else check["source"]
    return "the joined snapshot" if source is None else f"source {source}"


def _rows(connection: Any, task: Task, check: Check) -> Any:
    """The judged rows: the joined snapshot, or rows of a source that were known at the instant."""
    over = check.get("over")
    name = over["source"] if over else check["source"]
    if name is None:
        return judged_rows.snapshot(connection, task)
    source = task.policy["data"]["sources"][name]
    read = engine.table(connection, name, source)
    event, known = served.instants(source, name)
    rows = read.filter(read[known] <= engine.literal(task.instant))
    if over:
        start = task.instant - timedelta(seconds=over["window"])
        rows = rows.filter((rows[event] >= engine.literal(start)) & (rows[event] < engine.literal(task.instant)))
    return rows


def _baseline(
    connection: Any, task: Task, services: Services, check: Check, columns: list[str]
) -> Mapping[str, Column | str]:
    kind = check["arguments"].get("baseline") or "champion"
    if kind == "season":
        return _a_year_before(connection, task, check, columns)
    attempt = _attempts(task, services).get(kind)
    if attempt is None:
        raise NotEvaluable("there is no champion yet, so nothing to have drifted from")
    over = check.get("over")
    name = (over["source"] if over else check["source"]) or task.policy["data"]["rows"]
    source = task.policy["data"]["sources"][name]
    return profile.of_training(connection, services.objects, attempt, name, source, columns)


def _attempts(task: Task, services: Services) -> Mapping[str, str | None]:
    """The attempts of the champion and of the first one, as wake told this attempt."""
    request = results.request(services.objects, task.attempt)
    told: Mapping[str, str | None] | None = request.get("baselines")
    if told is not None:
        return told
    champion = request.get("champion")
    return {"champion": None if champion is None else champion["attempt"]}


def _a_year_before(connection: Any, task: Task, check: Check, columns: list[str]) -> Mapping[str, Column | str]:
    """The rows of the main source (or the check's) whose event times lie a year before those that are judged."""
    over = check.get("over")
    name = (over["source"] if over else check["source"]) or task.policy["data"]["rows"]
    source = task.policy["data"]["sources"][name]
    event, known = served.instants(source, name)
    judged = _rows(connection, task, check)
    instant = "event_time" if _where(check) == "the joined snapshot" else event
    span = engine.one(connection, judged.aggregate(first=judged[instant].min(), last=judged[instant].max()))
    if span["first"] is None:
        raise NotEvaluable("there is no row to judge")
    read = engine.table(connection, name, source)
    rows = read.filter(
        (read[event] >= engine.literal(span["first"] - YEAR))
        & (read[event] <= engine.literal(span["last"] - YEAR))
        & (read[known] <= engine.literal(task.instant))
    )
    return _profile(connection, rows, columns, f"the baseline `season`: source {name}")


def _skew(
    connection: Any, task: Task, services: Services, name: str, columns: list[str]
) -> tuple[Mapping[str, Column | str], Mapping[str, Column | str]]:
    """The snapshot's columns, and those of what was served in its time span."""
    snapshot = judged_rows.snapshot(connection, task)
    span = engine.one(connection, snapshot.aggregate(first=ibis._.event_time.min(), last=ibis._.event_time.max()))
    if span["first"] is None:
        raise NotEvaluable("there is no row to judge")
    source = task.policy["data"]["sources"][name]
    event, known = served.instants(source, name)
    try:
        read = engine.table(connection, name, source)
    except StepFailed as error:
        if _attempts(task, services).get("champion") is not None:
            raise
        # A batch job writes this source, and none has run before the first champion.
        raise NotEvaluable(f"nobody has served anything yet: {error}") from error
    rows = read.filter(
        (read[event] >= engine.literal(span["first"]))
        & (read[event] <= engine.literal(span["last"]))
        & (read[known] <= engine.literal(task.instant))
    )
    current = _profile(connection, rows, columns, f"source {name}")
    if all(not isinstance(column, str) and column.rows == 0 for column in current.values()):
        reach = f"{format_instant(span['first'])} to {format_instant(span['last'])}"
        raise NotEvaluable(f"source {name} has no row of the snapshot's time, {reach}")
    return _profile(connection, snapshot, columns, "the joined snapshot"), current


def _profile(connection: Any, rows: Any, columns: list[str], where: str) -> Mapping[str, Column | str]:
    for column in columns:
        engine.require(column, rows.columns, where)
    return profile.by_column(profile.of_table(connection, rows, columns))
