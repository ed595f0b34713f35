"""The step `rows` of a batch job: what the champion of its start is to score, exactly as it was known at the instant.

Features are joined as for training: the latest known by each row's event time. A job that appends takes the rows that
became known after the last job that ended well, one that replaces takes all of the source. The model is given the
columns that it was trained on, by its own version's list of them where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis

from ctc.policy.windows import parse_instant
from ctc.steps import engine, joins, results
from ctc.steps.joins import DEADLINE, EVENT_TIME
from ctc.steps.ports import Services
from ctc.steps.snapshot import refuse_own_names, row_id
from ctc.steps.task import Result, StepFailed, Task
from ctc.steps.tasks import ROW_ID


def run(task: Task, services: Services) -> Result:
    """Writes rows; `go` is false if there are none. StepFailed for rows without a key, or of which two have one."""
    request = results.request(services.objects, task.attempt)
    data, entry = task.policy["data"], task.policy["batch"][request["serving"]]
    with engine.opened(task.outputs["rows"]) as connection:
        known = _known(connection, data, entry, task, request.get("after"))
        joined = joins.enriched(connection, known, {**data, "label": None}, by=DEADLINE, judging=_judging(data, entry))
        rows = engine.hold(connection, "scored", _shown(joined, data, entry, request["champion"]))
        counts = rows.aggregate(rows=rows.count(), ids=rows[ROW_ID].nunique(), keyless=rows[ROW_ID].isnull().sum())
        found = {name: int(value or 0) for name, value in engine.one(connection, counts).items()}
        _require_keys(found, data["sources"][entry["rows"]], entry["rows"])
        ordered = rows.order_by([column for column in (EVENT_TIME, ROW_ID) if column in rows.columns])
        engine.write(connection, ordered, task.outputs["rows"])
        csv = task.policy["format"]["csv"]
        if csv is not None:
            engine.write_csv(connection, ordered, task.outputs["csv_rows"], csv["delimiter"])
    numbers = {"rows": found["rows"]}
    if found["rows"]:
        return Result("ok", {"go": True}, f"{found['rows']} rows to score", numbers)
    since = f" that became known after {request['after']}" if request.get("after") else ""
    return Result("stop", {"go": False}, f"source {entry['rows']} has no rows{since}", numbers)


def _judging(data: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    return None if entry["rows"] == data["rows"] else str(entry["rows"])


def _known(connection: Any, data: Mapping[str, Any], entry: Mapping[str, Any], task: Task, after: str | None) -> Any:
    """The rows that were known at the instant, and not at `after` already, with their row_id and event time."""
    name = entry["rows"]
    source = data["sources"][name]
    rows = engine.table(connection, name, source)
    refuse_own_names(rows.columns, name, source, data)
    event, known = source["event_time"] or source["known_at"], source["known_at"] or source["event_time"]
    if known is not None:
        rows = rows.filter(rows[known] <= engine.literal(task.instant))
        if after is not None:
            rows = rows.filter(rows[known] > engine.literal(parse_instant(after)))
    elif entry["write"] == "append":
        raise StepFailed(f"source {name} does not say when its rows became known; give it `known_at:`, or replace")
    keys = source["key"] or (source["join"] or {}).get("key", ())
    happened = engine.literal(task.instant) if event is None or _untimed(data) else rows[event]
    # What happens later than now is scored with what is known now, also when an old instant is run again.
    by = ibis.least(happened, engine.literal(task.instant))
    return rows.mutate(**{ROW_ID: row_id([rows[key] for key in keys]), EVENT_TIME: happened, DEADLINE: by})


def _untimed(data: Mapping[str, Any]) -> bool:
    """Data without time is joined to what is known now."""
    return data["sources"][data["rows"]]["event_time"] is None


def _shown(joined: Any, data: Mapping[str, Any], entry: Mapping[str, Any], champion: Mapping[str, Any]) -> Any:
    """What a predict command is given: never the label, nor what is dropped or kept for evaluation."""
    source, label = data["sources"][entry["rows"]], data["label"]
    hidden = {*data["columns"]["drop"], *data["columns"]["audit"], *({label["column"]} if label else ())}
    hidden |= {source["known_at"]} - {source["event_time"]}
    hidden |= {EVENT_TIME} if _untimed(data) else set()
    schema = champion.get("inputs_schema")
    if schema is not None:
        for column in schema:
            engine.require(
                column, joined.columns, f"champion {champion['version']} was trained on it; the rows to score"
            )
        return joined.select(*schema)
    return joined.select(*(name for name in joined.columns if name not in hidden and not name.startswith(engine.OWN)))


def _require_keys(found: Mapping[str, int], source: Mapping[str, Any], name: str) -> None:
    key = ", ".join(source["key"] or (source["join"] or {}).get("key", ()))
    if found["keyless"]:
        raise StepFailed(f"source {name}: {found['keyless']} rows have no value in their key ({key})")
    if found["ids"] < found["rows"]:
        repeated = found["rows"] - found["ids"]
        raise StepFailed(f"source {name}: {repeated} rows repeat the key ({key}) of another; each has one score")
