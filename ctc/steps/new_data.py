"""How many labelled rows of the main source are new: what a `new_data` trigger asks at a wake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import ibis

from ctc.policy.evidence import NewRows, NotEvaluable, RowsQuestion
from ctc.steps import engine


def count(data: Mapping[str, Any], asked: Sequence[RowsQuestion], now: datetime) -> dict[str, NewRows | NotEvaluable]:
    """The answer to each question, by its name. `data` is the step document's section.

    A row counts if it and its label were known at `now`, the label by the row's age; where no label means negative,
    every row that is old enough has one, and where the spec has no label every row counts. A row of data without time
    counts from when it and its label were known; not evaluable if the source does not say when its rows are known.
    StepFailed if a source cannot be read.
    """
    connection = engine.connect()
    source = data["sources"][data["rows"]]
    event, instant = source["event_time"], source["known_at"] or source["event_time"]
    silent = _silent(data)
    if silent is not None:
        reason = f"source {silent} does not say when its rows became known, so new ones cannot be told from old ones"
        return {question.name: NotEvaluable(f"{reason}; give it `known_at`") for question in asked}
    rows = engine.table(connection, data["rows"], source)
    known = rows[instant]
    rows = rows.mutate(_ctc_event=rows[event or instant], _ctc_known=known).filter(known <= engine.literal(now))
    if data["label"] is not None:
        rows = _labelled(connection, rows, data, now)
    if event is None:
        rows = rows.mutate(_ctc_event=rows["_ctc_known"])
    answers: dict[str, NewRows | NotEvaluable] = {}
    for question in asked:
        chosen = rows.filter(rows["_ctc_event"] < engine.literal(question.end))
        if question.start is not None:
            chosen = chosen.filter(chosen["_ctc_event"] >= engine.literal(question.start))
        unsettled = chosen["_ctc_known"] >= engine.literal(question.unsettled_since)
        found = engine.one(connection, chosen.aggregate(rows=chosen.count(), unsettled=unsettled.sum()))
        answers[question.name] = NewRows(int(found["rows"]), int(found["unsettled"] or 0), data["label"] is not None)
    return answers


def _silent(data: Mapping[str, Any]) -> str | None:
    """The source, of rows or labels, that does not say when its rows became known; None if both do."""
    names = [data["rows"], *([] if data["label"] is None else [data["label"]["source"]])]
    known = {name: data["sources"][name]["known_at"] or data["sources"][name]["event_time"] for name in names}
    return next((name for name in names if known[name] is None), None)


def _labelled(connection: Any, rows: Any, data: Mapping[str, Any], now: datetime) -> Any:
    """The rows that have their label, `_ctc_known` being when row and label both were known."""
    label = data["label"]
    deadline = rows["_ctc_event"] + ibis.interval(seconds=int(label["known_after"]))
    if data["sources"][data["rows"]]["event_time"] is None:
        deadline = engine.literal(now)
    if label["source"] == data["rows"]:
        engine.require(label["column"], rows.columns, f"source {label['source']}")
        by_then = ~engine.missing(rows[label["column"]]) & (rows["_ctc_known"] <= deadline)
        return rows if label["absent"] == "negative" else rows.filter(by_then)
    source = data["sources"][label["source"]]
    read = engine.table(connection, label["source"], source)
    engine.require(label["column"], read.columns, f"source {label['source']}")
    keys = list(source["join"]["key"])
    instant = source["known_at"] or source["event_time"]
    for key in keys:
        engine.require(key, rows.columns, f"source {data['rows']}")
        engine.require_comparable(rows[key], read[key], f"source {label['source']}: join by `{key}`")
    first = (
        read.filter(~engine.missing(read[label["column"]]))
        .group_by(keys)
        .aggregate(_ctc_label=read[instant].min())
        .rename({f"_ctc_key_{key}": key for key in keys})
    )
    # A label that came after the row's age is not the row's: it neither counts nor unsettles.
    rows = rows.mutate(_ctc_deadline=deadline)
    in_time = first["_ctc_label"] <= rows["_ctc_deadline"]
    joined = rows.left_join(first, [*(rows[key] == first[f"_ctc_key_{key}"] for key in keys), in_time])
    if label["absent"] != "negative":
        joined = joined.filter(joined["_ctc_label"].notnull())
    both = ibis.greatest(joined["_ctc_known"], joined["_ctc_label"].fill_null(joined["_ctc_known"]))
    return joined.mutate(_ctc_known=both)
