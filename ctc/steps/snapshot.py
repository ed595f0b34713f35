"""The step `snapshot`: the rows that an attempt learns from and is judged on, exactly as they were known.

Features are the latest known by each row's event time (a forecast's: by its origin; those of data without time: now),
labels the value known at a fixed age, rows those known at the instant. No row of the holdout is among those that are
learnt from. Too few training rows, or none in the holdout, stop the attempt; a holdout that is merely small is the
gates' to judge. Keys that repeat are for `validate` to refuse, after the spec's own checks have spoken. A label that
is NaN is no label.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import ibis

from ctc.policy.strategy import Plan
from ctc.policy.windows import Windows
from ctc.steps import engine, forecasts, holdouts, joins, quarantine, requests, selection, tasks
from ctc.steps.holdouts import HELD
from ctc.steps.joins import DEADLINE, EVENT_TIME, ORIGIN
from ctc.steps.parts import PART
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task
from ctc.steps.tasks import ROW_ID

HISTORY = "history"
"""The output that only a forecast has."""


def run(task: Task, services: Services) -> Result:
    """Writes train, valid, rows, holdout, of a forecast history; `go` is false if there is too little to learn from."""
    with engine.opened(task.outputs["holdout"]) as connection:
        return _taken(connection, task, selection.planned(task, services))


def _taken(connection: Any, task: Task, plan: Plan) -> Result:
    data, section = task.policy["data"], task.policy["windows"]
    windows, timed = plan.windows, _timed(data)
    rows = selection.kept(_joined(connection, data, section, plan.reach, task.instant), plan)
    joined, beside = holdouts.beside(engine.hold(connection, "joined", rows))
    absent, met = tasks.required(connection, joined, data)
    joins.require_met(connection, joined, data, met)
    labelled, aside = quarantine.set_aside(connection, tasks.labelled(joined, data), task)
    if beside is not None:
        tasks.required(connection, beside, data)
        beside = tasks.labelled(beside, data)
    parts = _split(connection, labelled, windows, float(section["validation_share"]), timed)
    schema = _write(connection, task, parts, labelled, beside, windows)
    counts = {name: int(engine.one(connection, part.aggregate(n=part.count()))["n"]) for name, part in parts.items()}
    facts = {
        "rows": counts,
        "absent_labels": absent,
        **aside,
        **tasks.facts(connection, labelled, data, timed=timed),
        "fingerprint": _fingerprint(connection, labelled.select(*_visible(labelled, timed))),
        **selection.facts(connection, [parts["train"], parts["valid"]], plan),
        "inputs_schema": schema,
    }
    row = "row" if data["label"] is None else "labelled row"
    reason = _too_little(counts, facts["new_rows"], section, row)
    numbers = {"windows": windows.to_json(), "data": facts}
    return Result("stop" if reason else "ok", {"go": not reason}, reason, numbers)


def _timed(data: Mapping[str, Any]) -> bool:
    return data["sources"][data["rows"]]["event_time"] is not None


def _visible(rows: Any, timed: bool) -> list[str]:
    """The columns that are anybody's but ours; data without time has no event time."""
    return [name for name in rows.columns if not name.startswith(engine.OWN) and (timed or name != EVENT_TIME)]


def _joined(
    connection: Any, data: Mapping[str, Any], section: Mapping[str, Any], windows: Windows, now: datetime
) -> Any:
    """The rows that are learnt from or judge, with their features and their label (null where there was none by then).

    Those of a forecast's gap are among them: they are history.
    """
    by = DEADLINE if not _timed(data) else EVENT_TIME if data.get("forecast") is None else ORIGIN
    main = _known_rows(connection, data, windows, now, data["rows"], data["sources"][data["rows"]])
    main = main.mutate(**{HELD: holdouts.held(main, section, windows, f"source {data['rows']}")})
    remembered = list(data.get("remembered", ()))
    judging = {}
    for name in [*([section["source"]] if windows.kind == "source" else []), *remembered]:
        rows = _known_rows(connection, data, windows, now, name, holdouts.source(data, name))
        judging[name] = rows.mutate(**{HELD: ibis.literal(True)})
        main = main.anti_join(judging[name], ROW_ID)
    whole = _shown(joins.enriched(connection, _within(main, windows, data), data, by=by), data)
    if remembered:
        whole = holdouts.marked(whole, None)
    for name, rows in judging.items():
        fixed = name in remembered
        # What is to be remembered may be of any age; a row of the holdout is of its stretch.
        chosen = (
            rows.filter(rows[EVENT_TIME] < engine.literal(windows.labelled_until))
            if fixed
            else _within(rows, windows, data)
        )
        own = joins.enriched(connection, chosen, data, by=by, judging=name)
        if remembered:
            own = holdouts.marked(own, name if fixed else None)
        whole = holdouts.together(whole, own, name, data["sources"][data["rows"]]["known_at"])
    return whole


def _shown(rows: Any, data: Mapping[str, Any]) -> Any:
    """`rows` without what is dropped. StepFailed if they lack a column that is to be hidden, or that evaluation needs.

    Told here, not after a training whose model could not be judged.
    """
    known = [column for column in rows.columns if not column.startswith(engine.OWN)]
    for place in ("drop", "audit"):
        for column in data["columns"][place]:
            engine.require(column, known, f"`columns.{place}`: the joined snapshot")
    shown = rows.drop(DEADLINE, *data["columns"]["drop"])
    for column in data.get("judged_by", ()):
        engine.require(column, shown.columns, "`evaluation.unit` or `evaluation.slices`: the joined snapshot")
    return shown


def _known_rows(
    connection: Any,
    data: Mapping[str, Any],
    windows: Windows,
    now: datetime,
    name: str,
    source: Mapping[str, Any],
) -> Any:
    """The rows of a source that were known at `now`, with their row_id, event time and the deadline of their label."""
    rows = engine.table(connection, name, source)
    refuse_own_names(rows.columns, name, source, data)
    if source["known_at"] is not None:
        rows = rows.filter(rows[source["known_at"]] <= engine.literal(now))
    own = {ROW_ID: row_id([rows[column] for column in source["key"]])}
    if _timed(data):
        age = 0 if data["label"] is None else int(data["label"]["known_after"])
        event = rows[source["event_time"]]
        rows = rows.mutate(**own, **{EVENT_TIME: event, DEADLINE: event + ibis.interval(seconds=age)})
    else:
        # Data without time happens when it becomes known, and before T in any case.
        last = engine.literal(windows.labelled_until - timedelta(microseconds=1))
        event = last if source["known_at"] is None else ibis.least(rows[source["known_at"]], last)
        rows = rows.mutate(**own, **{EVENT_TIME: event, DEADLINE: engine.literal(now)})
    forecast = data.get("forecast")
    return rows if forecast is None else forecasts.placed(rows, forecast, windows, source["known_at"])


def _within(rows: Any, windows: Windows, data: Mapping[str, Any]) -> Any:
    """The rows of training and of the holdout; a forecast's also of the gap between them."""
    event, learnt_until = rows[EVENT_TIME], windows.train_end
    if data.get("forecast") is not None:
        learnt_until = windows.holdout_start if windows.kind == "time" else windows.labelled_until
    training = (event >= engine.literal(windows.train_start)) & (event < engine.literal(learnt_until)) & ~rows[HELD]
    holdout = (event >= engine.literal(windows.holdout_start)) & (event < engine.literal(windows.holdout_end))
    return rows.filter(training | (holdout & rows[HELD]))


def row_id(keys: list[Any]) -> Any:
    """The key as one text; null if any part of it is, which the engine's own join would pass over."""
    missing = ibis.or_(*(key.isnull() for key in keys))
    return ibis.ifelse(missing, ibis.null(), ibis.literal("|").join([key.cast("string") for key in keys]))


def _split(connection: Any, labelled: Any, windows: Windows, share: float, timed: bool) -> dict[str, Any]:
    """Training, a share of it for validation (the latest, or drawn where there is no time), and the holdout."""
    learnt = _learnt(labelled, windows)
    later = _latest(connection, learnt, share) if timed else holdouts.validating(learnt, share)
    return {"train": learnt.filter(~later), "valid": learnt.filter(later), "holdout": labelled.filter(labelled[HELD])}


def _learnt(rows: Any, windows: Windows) -> Any:
    """The rows that this attempt may learn from: none that judges, now or ever."""
    return rows.filter(~rows[HELD] & (rows[EVENT_TIME] < engine.literal(windows.train_end)))


def _latest(connection: Any, rows: Any, share: float) -> Any:
    """Whether a row is of the latest `share`, in the order of time and row_id; rows that repeat both stay together."""
    chosen = math.floor(engine.one(connection, rows.aggregate(n=rows.count()))["n"] * share)
    if chosen == 0:
        return ibis.literal(False)
    # The first of them, found among two columns: to number all rows sorts all columns, once for each part.
    order = [rows[EVENT_TIME].desc(), rows[ROW_ID].desc()]
    first = engine.one(connection, rows.select(EVENT_TIME, ROW_ID).order_by(order).limit(1, offset=chosen - 1))
    instant = engine.literal(first[EVENT_TIME])
    return (rows[EVENT_TIME] > instant) | ((rows[EVENT_TIME] == instant) & (rows[ROW_ID] >= first[ROW_ID]))


def _write(
    connection: Any, task: Task, parts: Mapping[str, Any], labelled: Any, beside: Any, windows: Windows
) -> dict[str, str]:
    """The folders, in the order of time. Audit columns reach evaluation only, the label never a prediction.

    Nor does the model see when a row became known: where the label comes with the row, that tells of the label. A
    forecast's rows hold what is known at their origin: of the main source only what names them. Rows `beside` the
    holdout are told from its own in the folder `holdout` only. Returns the columns that a predict command is given,
    with their types.
    """
    data = task.policy["data"]
    source, forecast, timed = data["sources"][data["rows"]], data.get("forecast"), _timed(data)
    hidden = set(data["columns"]["audit"]) | ({source["known_at"]} - {source["event_time"]})
    judged = _visible(labelled, timed)
    seen = [column for column in judged if column not in hidden]
    unlabelled = [column for column in seen if data["label"] is None or column != data["label"]["column"]]
    judging = holdouts.joined_by(parts["holdout"], beside)
    chosen = {
        "train": parts["train"].select(*seen),
        "valid": parts["valid"].select(*seen),
        "rows": judging.select(*unlabelled),
        "holdout": judging.select(*judged, *([] if beside is None else [PART])),
    }
    if forecast is not None:
        own = set(engine.table(connection, data["rows"], source).columns)
        names = {*source["key"], *forecast["series"], source["event_time"]}
        chosen["rows"] = judging.select(*(name for name in unlabelled if name in names or name not in own))
        past = [column for column in seen if column not in (ORIGIN, forecasts.STEP)]
        chosen[HISTORY] = forecasts.history(holdouts.joined_by(labelled, beside), forecast, windows, past)
    csv = task.policy.get("format", {}).get("csv")
    for name, part in chosen.items():
        ordered = part.order_by([EVENT_TIME, ROW_ID] if timed else [ROW_ID])
        engine.write(connection, ordered, task.outputs[name])
        if csv is not None and f"csv_{name}" in task.outputs:
            engine.write_csv(connection, ordered, task.outputs[f"csv_{name}"], csv["delimiter"])
    if requests.OUTPUT in task.outputs:
        group = (data.get("ranking") or {}).get("group")
        requests.write(connection, chosen["rows"], task.outputs[requests.OUTPUT], group)
    return {name: str(kind) for name, kind in chosen["rows"].schema().items()}


def _fingerprint(connection: Any, labelled: Any) -> str:
    """sha256 over columns, number of rows and the sum of the rows' hashes: the order of the rows plays no part."""
    columns = sorted(labelled.columns)
    words = [labelled[column].cast("string").fill_null("\\N") for column in columns]
    text = ibis.literal("\x1f").join(words)
    total = holdouts.digest(text).cast("decimal(38, 0)").sum()
    found = engine.one(connection, labelled.aggregate(rows=labelled.count(), total=total))
    content = "\n".join([*columns, str(found["rows"]), str(found["total"] or 0)])
    return hashlib.sha256(content.encode()).hexdigest()


def _too_little(counts: Mapping[str, int], new: int, section: Mapping[str, Any], row: str) -> str:
    learnt = counts["train"] + counts["valid"]
    needed = max(int(section["min_rows"]), 1)
    if new < needed:
        # Rows that are replayed beside the new ones teach nothing new.
        what = row if section.get("strategy", "full") == "full" else f"new {row}"
        return f"{new} {what}s to learn from; at least {needed} are needed"
    if counts["train"] == 0:
        return f"all {learnt} {row}s are in the validation share; none is left to learn from"
    if counts["holdout"] == 0:
        return f"no {row} in the holdout"
    return ""


def refuse_own_names(columns: Any, name: str, source: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """StepFailed for a column that can be taken for ours; the event time, and a key of one column, may be named so."""
    allowed = {EVENT_TIME: source["event_time"] == EVENT_TIME, ROW_ID: source["key"] == [ROW_ID]}
    if data.get("forecast") is not None:
        allowed |= {ORIGIN: False, forecasts.STEP: False}
    taken = [column for column in columns if column.lower() in allowed and not allowed.get(column, False)]
    if taken:
        raise StepFailed(f"source {name}: the name `{taken[0]}` is ctc's own; rename the column")
