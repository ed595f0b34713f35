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
    every row that is old enough has one. StepFailed if a source cannot be read.
    """
    connection = engine.connect()
    source = data["sources"][data["rows"]]
    rows = engine.table(connection, data["rows"], source)
    event = source["event_time"]
    known = rows[source["known_at"]] if source["known_at"] else rows[event]
    rows = rows.mutate(_event=rows[event], _known=known).filter(known <= engine.literal(now))
    rows = _labelled(connection, rows, data)
    answers: dict[str, NewRows | NotEvaluable] = {}
    for question in asked:
        chosen = rows.filter(rows["_event"] < engine.literal(question.end))
        if question.start is not None:
            chosen = chosen.filter(chosen["_event"] >= engine.literal(question.start))
        unsettled = chosen["_known"] >= engine.literal(question.unsettled_since)
        found = engine.one(connection, chosen.aggregate(rows=chosen.count(), unsettled=unsettled.sum()))
        answers[question.name] = NewRows(int(found["rows"]), int(found["unsettled"] or 0))
    return answers


def _labelled(connection: Any, rows: Any, data: Mapping[str, Any]) -> Any:
    """The rows that have their label, `_known` being when row and label both were known."""
    label = data["label"]
    if label["source"] == data["rows"]:
        present = rows[label["column"]].notnull()
        return rows if label["absent"] == "negative" else rows.filter(present)
    source = data["sources"][label["source"]]
    read = engine.table(connection, label["source"], source)
    engine.require(label["column"], read.columns, f"source {label['source']}")
    keys = list(source["join"]["key"])
    instant = source["known_at"] or source["event_time"]
    first = (
        read.filter(read[label["column"]].notnull())
        .group_by(keys)
        .aggregate(_label_known=read[instant].min())
        .rename({f"_key_{key}": key for key in keys})
    )
    joined = rows.left_join(first, [rows[key] == first[f"_key_{key}"] for key in keys])
    by = joined["_event"] + ibis.interval(seconds=int(label["known_after"]))
    in_time = joined["_label_known"].notnull() & (joined["_label_known"] <= by)
    if label["absent"] != "negative":
        joined = joined.filter(in_time)
    return joined.mutate(_known=ibis.greatest(joined["_known"], joined["_label_known"].fill_null(joined["_known"])))
