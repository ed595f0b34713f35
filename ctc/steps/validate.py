"""The step `validate`: data checks before training. A check that says stop ends the attempt; that is no failure.

A check without a source judges the joined snapshot (training, validation and holdout rows together), one with a source
the rows of it that were known at the instant. NULL and NaN are missing values: `null_ratio` counts them, `range` and
`allowed_values` pass over them, `unique` compares them like any value. Ratios are of all rows; 0 where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import ibis

from ctc.policy.windows import format_instant
from ctc.steps import engine, results
from ctc.steps.ports import Services
from ctc.steps.task import Result, Task

Check = Mapping[str, Any]
Judge = Callable[[Mapping[str, Any], Mapping[str, Any], datetime], tuple[bool, str, dict[str, Any]]]

PARTS = ("train", "valid", "holdout")


def run(task: Task, services: Services) -> Result:
    """Answers every check, with numbers; `go` is false if one that says stop failed, or the snapshot had too little."""
    snapshot = results.load(services.objects, task.attempt).get("snapshot")
    if snapshot is not None and not snapshot["flags"].get("go", True):
        return Result("stop", {"go": False}, str(snapshot["reason"]), {"checks": []})
    connection = engine.connect()
    answers: list[dict[str, Any]] = []
    for source, checks in _by_source(task.policy["validation"]["checks"]).items():
        answers += _judge(_table(connection, task, source), checks, source, task, connection)
    order = {check["name"]: index for index, check in enumerate(task.policy["validation"]["checks"])}
    answers.sort(key=lambda answer: order[answer["name"]])
    stopped = [answer for answer in answers if answer["answer"] == "fail" and answer["on_fail"] == "stop"]
    reason = "; ".join(f"check {answer['name']}: {answer['reason']}" for answer in stopped)
    return Result("stop" if stopped else "ok", {"go": not stopped}, reason, {"checks": answers})


def _by_source(checks: list[Check]) -> dict[str | None, list[Check]]:
    grouped: dict[str | None, list[Check]] = {}
    for check in checks:
        grouped.setdefault(check["source"], []).append(check)
    return grouped


def _table(connection: Any, task: Task, source: str | None) -> Any:
    """The joined snapshot, or the rows of a source that were known at the instant."""
    if source is None:
        return connection.read_parquet([str(task.inputs[part] / "data.parquet") for part in PARTS])
    described = task.policy["data"]["sources"][source]
    read = engine.table(connection, source, described)
    known = described["known_at"] or described["event_time"]
    return read if known is None else read.filter(read[known] <= engine.literal(task.instant))


def _judge(table: Any, checks: list[Check], source: str | None, task: Task, connection: Any) -> list[dict[str, Any]]:
    """Every check of one table, in one scan of it."""
    measures: dict[str, Any] = {"rows": table.count()}
    for index, check in enumerate(checks):
        where = "the joined snapshot" if source is None else f"source {source}"
        arguments = check["arguments"]
        for column in [arguments["column"]] if "column" in arguments else arguments.get("columns", []):
            engine.require(column, table.columns, f"check {check['name']}: {where}")
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


def _measures(table: Any, check: Check, task: Task) -> dict[str, Any]:
    """What one check counts, as aggregations."""
    arguments, kind = check["arguments"], check["kind"]
    if kind == "row_count":
        return {}
    if kind == "unique":
        columns = [table[column].cast("string").fill_null("\\N") for column in arguments["columns"]]
        return {"distinct": ibis.literal("\x1f").join(columns).nunique()}
    if kind == "freshness":
        sources = task.policy["data"]["sources"]
        described = sources[check["source"] or task.policy["data"]["rows"]]
        known = described["known_at"] or described["event_time"]
        return {"newest": table[known].max()}
    column = table[arguments["column"]]
    missing = column.isnull() | column.isnan() if column.type().is_floating() else column.isnull()
    if kind == "null_ratio":
        return {"bad": missing.sum()}
    if kind == "allowed_values":
        values = arguments["values"]
        values = [str(value) for value in values] if column.type().is_string() else values
        return {"bad": (~missing & column.notin(values)).sum()}
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
        numbers |= {"lowest": found["low"], "highest": found["high"]}
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
