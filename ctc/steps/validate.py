"""The step `validate`: data checks before training. A check that says stop ends the attempt; that is no failure.

A check without a source judges the joined snapshot (training, validation and holdout rows together), one with a source
the rows of it that were known at the instant, one with `over` the latest stretch of them; `freshness` without a source
judges the main source, since the snapshot ends where labels do. Checks with `on_fail: quarantine` were answered where
the snapshot was taken. Whatever the spec checks, a key that repeats fails the step: predictions are matched by it.

A new kind is one entry: in `SCANNED` and `ctc.policy.data_checks.JUDGES` if aggregations over its table are enough, in
`ALONE` if it reads more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ibis

from ctc.policy import data_checks
from ctc.policy.data_checks import Answer
from ctc.policy.records import record_key
from ctc.steps import (
    drift_checks,
    engine,
    judged_rows,
    leakage,
    profile,
    quarantine,
    results,
    row_rules,
    schemas,
    uniqueness,
)
from ctc.steps.judged_rows import Check, Place
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task

Measures = dict[str, Any]
Measure = Callable[[Any, Any, list[Check], int, Place, Mapping[str, Any]], Measures]


def run(task: Task, services: Services) -> Result:
    """Answers every check, with numbers; `go` is false if one that says stop failed, or the snapshot had too little."""
    snapshot = results.load(services.objects, task.attempt).get("snapshot")
    aside = quarantine.answers(snapshot)
    if snapshot is not None and not snapshot["flags"].get("go", True):
        return Result("stop", {"go": False}, str(snapshot["reason"]), {"checks": list(aside.values())})
    with engine.opened() as connection:
        result = _judged(connection, task, services, aside)
        if result.status == "ok":
            profile.keep(connection, task, services)
    return result


def _judged(connection: Any, task: Task, services: Services, aside: Mapping[str, dict[str, Any]]) -> Result:
    answers = dict(aside)
    scanned: dict[Place, list[Check]] = {}
    for check in task.policy["validation"]["checks"]:
        if check["on_fail"] == "quarantine":
            if check["name"] not in aside:
                raise StepFailed(f"check {check['name']}: the snapshot left no answer of it; run the attempt again")
        elif check["kind"] in ALONE:
            answers[check["name"]] = _told(check, ALONE[check["kind"]](connection, task, services, check))
        else:
            scanned.setdefault(judged_rows.place(check, task.policy["data"]), []).append(check)
    for place, checks in scanned.items():
        for check, answer in _scanned(connection, task, services, place, checks):
            answers[check["name"]] = _told(check, answer)
    ordered = [answers[check["name"]] for check in task.policy["validation"]["checks"]]
    stopped = [answer for answer in ordered if answer["answer"] == "fail" and answer["on_fail"] == "stop"]
    if not stopped and not any(_found_unique_rows(check, answers) for check in task.policy["validation"]["checks"]):
        _require_unique_rows(connection, task)
    reason = "; ".join(f"check {answer['name']}: {answer['reason']}" for answer in stopped)
    return Result("stop" if stopped else "ok", {"go": not stopped}, reason, {"checks": ordered})


def _told(check: Check, answer: Answer | tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """A check's answer as records have it."""
    given, reason, numbers = answer
    common = {"name": check["name"], "kind": check["kind"], "source": check["source"], "on_fail": check["on_fail"]}
    over = {"over": dict(check["over"])} if check.get("over") else {}
    return {**common, **over, "answer": given, "reason": reason, "numbers": numbers}


def _found_unique_rows(check: Check, answers: Mapping[str, Mapping[str, Any]]) -> bool:
    asked = check["kind"] == "unique" and list(check["arguments"]["columns"]) == ["row_id"]
    return asked and check["source"] is None and not check.get("over") and answers[check["name"]]["answer"] == "pass"


def _require_unique_rows(connection: Any, task: Task) -> None:
    rows = judged_rows.rows(connection, task, Place(None))
    count = uniqueness.counted(connection, rows, ["row_id"])
    if count["distinct"] == count["rows"]:
        return
    counted = rows.group_by("row_id").aggregate(n=rows.count()).filter(ibis._.n > 1)
    found = engine.one(connection, counted.aggregate(repeated=counted.count(), first=counted["row_id"].min()))
    name = task.policy["data"]["rows"]
    key = ", ".join(task.policy["data"]["sources"][name]["key"])
    raise StepFailed(
        f"source {name}: {found['repeated']} values of its key ({key}) stand in more than one row, such as "
        f"{found['first']}; name the columns that tell rows apart as `key`, or mend the data"
    )


def _scanned(
    connection: Any, task: Task, services: Services, place: Place, checks: list[Check]
) -> list[tuple[Check, Answer]]:
    """Every check of one table, in one scan of it."""
    table = judged_rows.rows(connection, task, place)
    table = row_rules.prepared(connection, table, checks, place, f"_ctc_conditions_{place.source}_{place.window}")
    data = task.policy["data"]
    by_value = row_rules.by_value(connection, table, checks)
    measures: Measures = {"rows": table.count()}
    for index, check in enumerate(checks):
        if index not in by_value:
            own = SCANNED.get(check["kind"], row_rules.measures)(connection, table, checks, index, place, data)
            measures |= {f"{name}_{index}": value for name, value in own.items()}
    found = engine.one(connection, table.aggregate(**measures))
    found |= row_rules.counted_outside(connection, table, checks, found, place, data)
    found |= row_rules.counted_by_value(connection, table, checks, by_value, place, data)
    answers = []
    for index, check in enumerate(checks):
        own = {name.removesuffix(f"_{index}"): value for name, value in found.items() if name.endswith(f"_{index}")}
        own |= {"rows": found["rows"]}
        if check["arguments"].get("usual") is not None:
            own |= {"history": _earlier(services, task, check)}
        answers.append((check, data_checks.JUDGES[check["kind"]](check["arguments"], own, task.instant)))
    return answers


def _earlier(services: Services, task: Task, check: Check) -> list[int]:
    """The rows that the same check, or without a source the snapshot, had in the last accepted attempts."""
    history = results.request(services.objects, task.attempt).get("history") or []
    found = []
    for earlier in data_checks.accepted(history, task.instant):
        record = services.objects.get(record_key(earlier)) or {}
        if check["source"] is None and not check.get("over"):
            counts = (record.get("data") or {}).get("rows") or {}
            if all(part in counts for part in judged_rows.PARTS):
                found.append(sum(int(counts[part]) for part in judged_rows.PARTS))
            continue
        same = [item for item in record.get("checks") or [] if _same_table(item, check)]
        found += [int(item["numbers"]["rows"]) for item in same[:1]]
    return found


def _same_table(earlier: Mapping[str, Any], check: Check) -> bool:
    """Whether an earlier answer counted the rows of the table that this check judges."""
    own = (check["kind"], check["source"], dict(check["over"]) if check.get("over") else None)
    return (earlier.get("kind"), earlier.get("source"), earlier.get("over")) == own


def _rows_only(_: Any, table: Any, checks: list[Check], index: int, place: Place, data: Mapping[str, Any]) -> Measures:
    return {}


def _unique(connection: Any, task: Task, services: Services, check: Check) -> Answer:
    data = task.policy["data"]
    at, names = judged_rows.place(check, data), list(check["arguments"]["columns"])
    table = judged_rows.rows(connection, task, at)
    judged_rows.require(names, table, at, f"check {check['name']}: {at}", data)
    found = uniqueness.counted(connection, table, names)
    return data_checks.JUDGES["unique"](check["arguments"], found, task.instant)


def _freshness(_: Any, table: Any, checks: list[Check], index: int, place: Place, data: Mapping[str, Any]) -> Measures:
    where = f"check {checks[index]['name']}: {place}"
    return {"newest": table[judged_rows.known(place, data, where)].max()}


def _label_rate(_: Any, table: Any, checks: list[Check], index: int, place: Place, data: Mapping[str, Any]) -> Measures:
    where = f"check {checks[index]['name']}: {place}"
    if data["label"] is None or data["task"] != "binary":
        return {}
    name = data["label"]["column"]
    judged_rows.require([name], table, place, where, data)
    column = table[name]
    if not (column.type().is_boolean() or column.type().is_numeric()):
        raise StepFailed(f"{where}: the label `{name}` is {column.type()}; a binary task needs 0 and 1")
    positive = column if column.type().is_boolean() else column == 1
    return {"labelled": (~engine.missing(column)).sum(), "positives": positive.fill_null(False).sum()}


SCANNED: dict[str, Measure] = {
    "row_count": _rows_only,
    "freshness": _freshness,
    "label_rate": _label_rate,
}
"""What is counted for a kind, in one scan with all other checks of its table; the other kinds count offending rows."""

ALONE: dict[str, Callable[[Any, Task, Services, Check], Answer | tuple[str, str, dict[str, Any]]]] = {
    "schema": schemas.judge,
    "unique": _unique,
    "leakage": leakage.judge,
    "drift": drift_checks.judge,
    "skew": drift_checks.judge,
}
"""The kinds that look at their table by themselves."""
