"""Rows that were served: the sources with `role: predictions`, and how they meet their labels."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import ibis

from ctc.steps import engine
from ctc.steps.task import StepFailed

Source = Mapping[str, Any]


def instants(source: Source, name: str) -> tuple[str, str]:
    """The columns that say when a row of a source happened, and when it became known."""
    event, known = source["event_time"] or source["known_at"], source["known_at"] or source["event_time"]
    if event is None or known is None:
        raise StepFailed(f"source {name} does not say when its rows happened; give it `event_time:` or `known_at:`")
    return event, known


def judged(connection: Any, data: Mapping[str, Any], version: str, start: datetime, end: datetime) -> Any:
    """`label`, `score`, `group`, `_ctc_event` and `_ctc_known` of the main rows of `[start, end)` that this version
    answered. `group` is a ranking's; of other tasks it is empty.

    The label is the one known at event time and `known_after`; a row without one is left out, unless that means
    negative. Of several answers to a row the first counts: it is the one that was acted upon. Answers without a score
    are left out. `_ctc_known` is when both the row and its answer were known.
    """
    if data["task"] == "multiclass":
        raise StepFailed("a multiclass answer is a score for each class, and a source of served rows has one `score`")
    name, main = data["rows"], data["sources"][data["rows"]]
    rows = engine.table(connection, name, main)
    event, known = instants(main, name)
    rows = rows.filter((rows[event] >= engine.literal(start)) & (rows[event] < engine.literal(end)))
    key = ibis.literal("|").join([rows[column].cast("string") for column in main["key"]])
    age = ibis.interval(seconds=int(data["label"]["known_after"]))
    rows = rows.mutate(_ctc_key=key, _ctc_event=rows[event], _ctc_row=rows[known], _ctc_deadline=rows[event] + age)
    labelled = _labelled(connection, rows, data)
    answers = _answers(connection, data, version)
    joined = labelled.inner_join(answers, [labelled["_ctc_key"] == answers["_ctc_answered"]])
    ranking = data.get("ranking")
    if ranking is not None:
        engine.require(ranking["group"], rows.columns, f"source {name}")
    group = ibis.literal("") if ranking is None else joined[ranking["group"]].cast("string").fill_null("")
    return joined.select(
        group=group,
        label=joined["_ctc_label"].cast("float64"),
        score=joined["_ctc_score"],
        _ctc_event=joined["_ctc_event"],
        _ctc_known=ibis.greatest(joined["_ctc_row"], joined["_ctc_served"]),
    )


def _labelled(connection: Any, rows: Any, data: Mapping[str, Any]) -> Any:
    """The rows with `_ctc_label`, their value at the label's age."""
    label = data["label"]
    column = label["column"]
    if label["source"] == data["rows"]:
        engine.require(column, rows.columns, f"source {label['source']}")
        known = rows["_ctc_row"] <= rows["_ctc_deadline"]
        found = rows.mutate(_ctc_label=ibis.ifelse(known & ~engine.missing(rows[column]), rows[column], ibis.null()))
    else:
        source = data["sources"][label["source"]]
        read = engine.table(connection, label["source"], source)
        engine.require(column, read.columns, f"source {label['source']}")
        _, instant = instants(source, label["source"])
        keys = list(source["join"]["key"])
        for key in keys:
            engine.require(key, rows.columns, f"source {data['rows']}")
            engine.require_comparable(rows[key], read[key], f"source {label['source']}: join by `{key}`")
        value = ibis.ifelse(engine.missing(read[column]), ibis.null(), read[column])
        read = read.mutate(_ctc_value=value).select(*keys, instant, "_ctc_value")
        read = engine.latest(read, keys, instant).rename(_ctc_from=instant, **{f"_ctc_key_{key}": key for key in keys})
        matches = [rows[key] == read[f"_ctc_key_{key}"] for key in keys]
        joined = rows.asof_join(read, rows["_ctc_deadline"] >= read["_ctc_from"], matches)
        found = joined.select(*rows.columns, _ctc_label=joined["_ctc_value"])
    if label["absent"] == "negative":
        return found.mutate(_ctc_label=found["_ctc_label"].cast("float64").fill_null(0.0))
    return found.filter(found["_ctc_label"].notnull())


def _answers(connection: Any, data: Mapping[str, Any], version: str) -> Any:
    """The first answer of a version to each key: `_ctc_answered`, `_ctc_score` and `_ctc_served`."""
    names = [name for name, source in data["sources"].items() if source["role"] == "predictions"]
    if not names:
        raise StepFailed("there is no source with `role: predictions`, so what was served is not known")
    parts = [_answers_of(connection, name, data["sources"][name], version) for name in names]
    together = ibis.union(*parts) if len(parts) > 1 else parts[0]
    order = [together["_ctc_at"], together["_ctc_served"], together["_ctc_score"]]
    number = ibis.row_number().over(ibis.window(group_by="_ctc_answered", order_by=order))
    return together.mutate(_ctc_place=number).filter(ibis._._ctc_place == 0).drop("_ctc_place", "_ctc_at")


def _answers_of(connection: Any, name: str, source: Source, version: str) -> Any:
    columns = source["columns"]
    if columns is None:
        raise StepFailed(f"source {name} does not say what its columns are called; add `columns:`")
    read = engine.table(connection, name, source)
    for column in (columns["score"], columns["model_version"]):
        engine.require(column, read.columns, f"source {name}")
    if not (read[columns["score"]].type().is_numeric()):
        raise StepFailed(f"source {name}: the score `{columns['score']}` is {read[columns['score']].type()}, no number")
    event, known = instants(source, name)
    own = read.filter(read[columns["model_version"]].cast("string") == version)
    own = own.filter(~engine.missing(own[columns["score"]]))
    return own.select(
        _ctc_answered=own[columns["key"]].cast("string"),
        _ctc_score=own[columns["score"]].cast("float64"),
        _ctc_served=own[known],
        _ctc_at=own[event],
    )
