"""The step `validate`: data checks before training. A check that says stop ends the attempt; that is no failure.

A check without a source judges the joined snapshot (training, validation and holdout rows together), one with a source
the rows of it that were known at the instant; `freshness` without a source judges the main source, since the snapshot
ends where labels do. NULL and NaN are missing values: `null_ratio` counts them, `range` and `allowed_values` pass over
them, `unique` compares them like any value. Ratios are of all rows; 0 where there are none. Whatever the spec checks, a
key that repeats fails the step: predictions are matched by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import ibis

from ctc.policy.windows import format_instant
from ctc.steps import drift_checks, engine, profile, results
from ctc.steps.columns import comparable
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task

Check = Mapping[str, Any]
Judge = Callable[[Mapping[str, Any], Mapping[str, Any], datetime], tuple[bool, str, dict[str, Any]]]

PARTS = ("train", "valid", "holdout")


def run(task: Task, services: Services) -> Result:
    """Answers every check, with numbers; `go` is false if one that says stop failed, or the snapshot had too little."""
    snapshot = results.load(services.objects, task.attempt).get("snapshot")
    if snapshot is not None and not snapshot["flags"].get("go", True):
        return Result("stop", {"go": False}, str(snapshot["reason"]), {"checks": []})
    with engine.opened() as connection:
        result = _judged(connection, task, drift_checks.answers(connection, task, services))
        if result.status == "ok":
            profile.keep(connection, task, services)
    return result


def _judged(connection: Any, task: Task, answers: list[dict[str, Any]]) -> Result:
    """The answer of the step; `answers` are those of the checks that compare distributions."""
    for source, checks in _by_source(task).items():
        answers += _judge(_table(connection, task, source), checks, source, task, connection)
    order = {check["name"]: index for index, check in enumerate(task.policy["validation"]["checks"])}
    answers.sort(key=lambda answer: order[answer["name"]])
    stopped = [answer for answer in answers if answer["answer"] == "fail" and answer["on_fail"] == "stop"]
    if not stopped:
        _require_unique_rows(connection, task)
    reason = "; ".join(f"check {answer['name']}: {answer['reason']}" for answer in stopped)
    return Result("stop" if stopped else "ok", {"go": not stopped}, reason, {"checks": answers})


def _by_source(task: Task) -> dict[str | None, list[Check]]:
    grouped: dict[str | None, list[Check]] = {}
    for check in task.policy["validation"]["checks"]:
        if check["kind"] in drift_checks.KINDS:
            continue
        main = task.policy["data"]["rows"] if check["kind"] == "freshness" else None
        grouped.setdefault(check["source"] or main, []).append(check)
    return grouped


def _table(connection: Any, task: Task, source: str | None) -> Any:
    """The joined snapshot, or the rows of a source that were known at the instant."""
    if source is None:
        return engine.parts(connection, [task.inputs[part] for part in PARTS])
    described = task.policy["data"]["sources"][source]
    read = engine.table(connection, source, described)
    known = described["known_at"] or described["event_time"]
    return read if known is None else read.filter(read[known] <= engine.literal(task.instant))


def _require_unique_rows(connection: Any, task: Task) -> None:
    rows = engine.parts(connection, [task.inputs[part] for part in PARTS])
    counted = rows.group_by("row_id").aggregate(n=rows.count()).filter(ibis._.n > 1)
    found = engine.one(connection, counted.aggregate(repeated=counted.count(), first=counted["row_id"].min()))
    if found["repeated"]:
        name = task.policy["data"]["rows"]
        key = ", ".join(task.policy["data"]["sources"][name]["key"])
        raise StepFailed(
            f"source {name}: {found['repeated']} values of its key ({key}) stand in more than one row, such as "
            f"{found['first']}; name the columns that tell rows apart as `key`, or mend the data"
        )


def _judge(table: Any, checks: list[Check], source: str | None, task: Task, connection: Any) -> list[dict[str, Any]]:
    """Every check of one table, in one scan of it."""
    measures: dict[str, Any] = {"rows": table.count()}
    for index, check in enumerate(checks):
        _require_columns(check, table, source, task)
        measures |= {f"{name}_{index}": value for name, value in _measures(table, check, task).items()}
    found = engine.one(connection, table.aggregate(**measures))
    answers = []
    for index, check in enumerate(checks):
        own = {name.removesuffix(f"_{index}"): value for name, value in found.items() if name.endswith(f"_{index}")}
        passed, reason, numbers = JUDGES[check["kind"]](
            check["arguments"], {"rows": found["rows"], **own}, task.instant
        )
        answers.append(
            {
                "name": check["name"],
                "kind": check["kind"],
                "source": source,
                "on_fail": check["on_fail"],
                "answer": "pass" if passed else "fail",
                "reason": reason,
                "numbers": numbers,
            }
        )
    return answers


def _require_columns(check: Check, table: Any, source: str | None, task: Task) -> None:
    """StepFailed unless the table has what the check reads, of a type that it can judge."""
    arguments, data = check["arguments"], task.policy["data"]
    where = f"check {check['name']}: " + ("the joined snapshot" if source is None else f"source {source}")
    for column in [arguments["column"]] if "column" in arguments else arguments.get("columns", []):
        if source is None and column in data["columns"]["audit"]:
            raise StepFailed(f"{where} has the audit column `{column}` in the holdout only; name the check's `source`")
        engine.require(column, table.columns, where)
    if check["kind"] == "range" and not table[arguments["column"]].type().is_numeric():
        raise StepFailed(
            f"{where}: `{arguments['column']}` is {table[arguments['column']].type()}; a range needs numbers"
        )
    if check["kind"] == "freshness" and _known(source, data) is None:
        raise StepFailed(f"{where} does not say when its rows are known; give it `known_at:` or `event_time:`")


def _known(source: str | None, data: Mapping[str, Any]) -> str | None:
    described = data["sources"][source]
    known: str | None = described["known_at"] or described["event_time"]
    return known


def _measures(table: Any, check: Check, task: Task) -> dict[str, Any]:
    """What one check counts, as aggregations."""
    arguments, kind = check["arguments"], check["kind"]
    if kind == "row_count":
        return {}
    if kind == "unique":
        columns = [table[column].cast("string").fill_null("\\N") for column in arguments["columns"]]
        return {"distinct": ibis.literal("\x1f").join(columns).nunique()}
    if kind == "freshness":
        data = task.policy["data"]
        return {"newest": table[_known(check["source"] or data["rows"], data)].max()}
    column = table[arguments["column"]]
    missing = engine.missing(column)
    if kind == "null_ratio":
        return {"bad": missing.sum()}
    if kind == "allowed_values":
        return {"bad": (~missing & column.notin(comparable(arguments["values"], column.type()))).sum()}
    outside = ibis.literal(False)
    for bound, worse in (("min", column.__lt__), ("max", column.__gt__)):
        if arguments.get(bound) is not None:
            outside = outside | worse(arguments[bound])
    present = missing.ifelse(ibis.null(), column)
    return {"bad": (~missing & outside).sum(), "low": present.min(), "high": present.max()}


def _row_count(arguments: Check, found: Mapping[str, Any], _: datetime) -> tuple[bool, str, dict[str, Any]]:
    rows, low, high = int(found["rows"]), arguments.get("min"), arguments.get("max")
    numbers = {"rows": rows, "min": low, "max": high}
    if low is not None and rows < low:
        return False, f"{rows} rows; at least {low} are asked for", numbers
    if high is not None and rows > high:
        return False, f"{rows} rows; at most {high} are allowed", numbers
    return True, f"{rows} rows", numbers


def _null_ratio(arguments: Check, found: Mapping[str, Any], _: datetime) -> tuple[bool, str, dict[str, Any]]:
    missing, ratio = int(found["bad"] or 0), _ratio(found)
    numbers = {"rows": int(found["rows"]), "missing": missing, "ratio": ratio, "max": arguments["max"]}
    return ratio <= arguments["max"], f"{missing} of {found['rows']} are missing in `{arguments['column']}`", numbers


def _tolerated(arguments: Check, found: Mapping[str, Any], _: datetime) -> tuple[bool, str, dict[str, Any]]:
    outside, ratio, tolerated = int(found["bad"] or 0), _ratio(found), float(arguments.get("tolerate") or 0.0)
    numbers: dict[str, Any] = {"rows": int(found["rows"]), "outside": outside, "ratio": ratio, "tolerate": tolerated}
    said = f"{outside} of {found['rows']} are not allowed in `{arguments['column']}`"
    if "low" in found:
        numbers |= {"lowest": _number(found["low"]), "highest": _number(found["high"])}
        reach = f"{found['low']} to {found['high']}"
        said = f"{outside} of {found['rows']} are outside in `{arguments['column']}`, which has {reach}"
    return ratio <= tolerated, said, numbers


def _unique(arguments: Check, found: Mapping[str, Any], _: datetime) -> tuple[bool, str, dict[str, Any]]:
    repeated = int(found["rows"]) - int(found["distinct"] or 0)
    columns = ", ".join(arguments["columns"])
    return repeated == 0, f"{repeated} rows repeat `{columns}`", {"rows": int(found["rows"]), "repeated": repeated}


def _freshness(arguments: Check, found: Mapping[str, Any], now: datetime) -> tuple[bool, str, dict[str, Any]]:
    newest, limit = found["newest"], float(arguments["max_age"])
    if newest is None:
        return False, "there is no row", {"newest": None, "age_seconds": None, "max_age_seconds": limit}
    age = (now - newest.astimezone(UTC)).total_seconds()
    numbers = {"newest": format_instant(newest), "age_seconds": age, "max_age_seconds": limit}
    return age <= limit, f"the newest row is of {format_instant(newest)}, {age / 3600:.1f} h old", numbers


def _number(value: Any) -> int | float | str | None:
    """A value of a column as JSON has it: no decimals, no infinity."""
    plain: int | float | None = float(value) if isinstance(value, Decimal) else value
    return str(plain) if isinstance(plain, float) and not math.isfinite(plain) else plain


def _ratio(found: Mapping[str, Any]) -> float:
    return int(found["bad"] or 0) / int(found["rows"]) if found["rows"] else 0.0


JUDGES: dict[str, Judge] = {
    "row_count": _row_count,
    "null_ratio": _null_ratio,
    "range": _tolerated,
    "allowed_values": _tolerated,
    "unique": _unique,
    "freshness": _freshness,
}
