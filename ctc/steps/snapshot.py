"""The step `snapshot`: the rows that an attempt learns from and is judged on, exactly as they were known.

Features are the latest known by each row's event time, labels the value known at a fixed age, rows those known at the
instant. The holdout is later than every training row. Too few training rows, or none in the holdout, stop the attempt;
a holdout that is merely small is the gates' to judge. Keys that repeat are for `validate` to refuse, after the spec's
own checks have spoken. A label that is NaN is no label.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis

from ctc.policy.windows import Windows, format_instant
from ctc.steps import engine, quarantine
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task

ROW_ID, EVENT_TIME = "row_id", "event_time"


@ibis.udf.scalar.builtin(name="md5_number_lower", signature=(("string",), "uint64"))  # type: ignore[untyped-decorator]
def _digest(text: str) -> int:  # type: ignore[empty-body]
    """Half of the MD5 of a text, as a number."""


@dataclass(frozen=True)
class _Label:
    """`column` is the label's name, `absent` what no label by then means."""

    column: str
    absent: str


def run(task: Task, services: Services) -> Result:
    """Writes the outputs train, valid, rows and holdout; `go` is false where there is too little to learn from."""
    with engine.opened(task.outputs["holdout"]) as connection:
        return _taken(connection, task)


def _taken(connection: Any, task: Task) -> Result:
    data, section = task.policy["data"], task.policy["windows"]
    windows = Windows.at(section, task.instant)
    label = _Label(data["label"]["column"], data["label"]["absent"])
    joined = engine.hold(connection, "joined", _joined(connection, data, windows, task.instant))
    absent = _require_rows(connection, joined, label, data)
    labelled, aside = quarantine.set_aside(connection, _with_labels(joined, label), task)
    parts = _split(connection, labelled, windows, float(section["validation_share"]))
    _write(connection, task, parts, data)
    counts = {name: int(engine.one(connection, part.aggregate(n=part.count()))["n"]) for name, part in parts.items()}
    facts = {
        "rows": counts,
        "absent_labels": absent,
        **aside,
        **_label_facts(connection, labelled, label, data["task"]),
        "fingerprint": _fingerprint(connection, labelled),
    }
    reason = _too_little(counts, section)
    numbers = {"windows": windows.to_json(), "data": facts}
    return Result("stop" if reason else "ok", {"go": not reason}, reason, numbers)


def _joined(connection: Any, data: Mapping[str, Any], windows: Windows, now: datetime) -> Any:
    """The main rows of both windows with their features and their label (null where there was none by then)."""
    source = data["sources"][data["rows"]]
    rows = engine.table(connection, data["rows"], source)
    _refuse_own_names(rows.columns, data["rows"], source)
    event = rows[source["event_time"]]
    training = (event >= engine.literal(windows.train_start)) & (event < engine.literal(windows.train_end))
    holdout = (event >= engine.literal(windows.holdout_start)) & (event < engine.literal(windows.holdout_end))
    rows = rows.filter(training | holdout)
    if source["known_at"] is not None:
        rows = rows.filter(rows[source["known_at"]] <= engine.literal(now))
    age = ibis.interval(seconds=int(data["label"]["known_after"]))
    rows = rows.mutate(
        **{
            ROW_ID: _row_id([rows[column] for column in source["key"]]),
            EVENT_TIME: rows[source["event_time"]],
            "_ctc_deadline": rows[source["event_time"]] + age,
        }
    )
    for name, feature in data["sources"].items():
        if feature["role"] == "features":
            rows = _as_of(connection, rows, name, feature, EVENT_TIME, None)
    rows = _labels(connection, rows, data)
    for place in ("drop", "audit"):
        for column in data["columns"][place]:
            engine.require(column, rows.drop("_ctc_deadline").columns, f"`columns.{place}`: the joined snapshot")
    return rows.drop("_ctc_deadline", *data["columns"]["drop"])


def _row_id(keys: list[Any]) -> Any:
    """The key as one text; null if any part of it is, which the engine's own join would pass over."""
    missing = ibis.or_(*(key.isnull() for key in keys))
    return ibis.ifelse(missing, ibis.null(), ibis.literal("|").join([key.cast("string") for key in keys]))


def _labels(connection: Any, rows: Any, data: Mapping[str, Any]) -> Any:
    label, name = data["label"], data["label"]["column"]
    source = data["sources"][label["source"]]
    if label["source"] != data["rows"]:
        rows = _as_of(connection, rows, label["source"], source, "_ctc_deadline", name)
    engine.require(name, rows.columns, f"source {label['source']}")
    column = rows[name]
    if label["source"] == data["rows"] and source["known_at"] is not None:
        column = ibis.ifelse(rows[source["known_at"]] <= rows["_ctc_deadline"], column, ibis.null())
    return rows.mutate(**{name: ibis.ifelse(engine.missing(column), ibis.null(), column)})


def _as_of(connection: Any, rows: Any, name: str, source: Mapping[str, Any], by: str, only: str | None) -> Any:
    """`rows` with the columns of a source as they were known at `by`: the latest row of each key by then."""
    read = engine.table(connection, name, source)
    known = source["known_at"] or source["event_time"]
    if known is None:
        raise StepFailed(f"source {name}: say when its rows are known, with `known_at:` or `event_time:`")
    keys = list(source["join"]["key"])
    for key in keys:
        engine.require(key, rows.columns, "the source with `role: rows`")
        engine.require_comparable(rows[key], read[key], f"source {name}: join by `{key}`")
    if only is not None:
        engine.require(only, read.columns, f"source {name}")
        read = read.select(*keys, known, only)
    wanted = [column for column in read.columns if column not in (*keys, known)]
    earlier = {column.lower() for column in rows.columns}
    clash = sorted(column for column in wanted if column.lower() in earlier)
    if clash:
        raise StepFailed(f"source {name}: `{clash[0]}` is a column of an earlier source too; rename one of them")
    read = engine.latest(read, keys, known).rename(_ctc_known=known, **{f"_ctc_key_{key}": key for key in keys})
    matches = [rows[key] == read[f"_ctc_key_{key}"] for key in keys]
    return rows.asof_join(read, rows[by] >= read["_ctc_known"], matches).select(*rows.columns, *wanted)


def _with_labels(joined: Any, label: _Label) -> Any:
    if label.absent == "negative":
        negative = ibis.literal(0).cast(joined[label.column].type())
        return joined.mutate(**{label.column: joined[label.column].fill_null(negative)})
    return joined.filter(joined[label.column].notnull())


def _require_rows(connection: Any, joined: Any, label: _Label, data: Mapping[str, Any]) -> int:
    """The number of rows without a label. StepFailed if a row has no key, or a label is none of its task."""
    column = joined[label.column]
    kind, binary = column.type(), data["task"] == "binary"
    wanted = "a binary task needs 0 and 1, or false and true" if binary else "a regression needs finite numbers"
    if not (kind.is_numeric() or (binary and kind.is_boolean())):
        raise StepFailed(f"the label `{label.column}` is {kind}; {wanted}")
    wrong = column.isnull() & ibis.literal(False)
    if binary and not kind.is_boolean():
        wrong = column.notin([0, 1])
    elif kind.is_floating():
        wrong = column.isinf()
    found = engine.one(
        connection,
        joined.aggregate(
            rows=joined.count(),
            absent=column.isnull().sum(),
            wrong=wrong.sum(),
            keyless=joined[ROW_ID].isnull().sum(),
        ),
    )
    absent, bad, keyless = (int(found[name] or 0) for name in ("absent", "wrong", "keyless"))
    if keyless:
        key = ", ".join(data["sources"][data["rows"]]["key"])
        raise StepFailed(f"source {data['rows']}: {keyless} rows have no value in their key ({key})")
    if bad:
        raise StepFailed(f"the label `{label.column}` is something else in {bad} rows; {wanted}")
    if absent and label.absent == "error":
        raise StepFailed(f"{absent} of {found['rows']} rows have no label by their age, and `absent` is `error`")
    return absent


def _split(connection: Any, labelled: Any, windows: Windows, share: float) -> dict[str, Any]:
    """Training, the latest `share` of it for validation, and the holdout."""
    learnt = labelled.filter(labelled[EVENT_TIME] < engine.literal(windows.train_end))
    later = _latest(connection, learnt, share)
    return {
        "train": learnt.filter(~later),
        "valid": learnt.filter(later),
        "holdout": labelled.filter(labelled[EVENT_TIME] >= engine.literal(windows.holdout_start)),
    }


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


def _write(connection: Any, task: Task, parts: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """The four folders, in the order of time. Audit columns reach evaluation only, the label never a prediction.

    Nor does the model see when a row became known: where the label comes with the row, that tells of the label.
    """
    source = data["sources"][data["rows"]]
    hidden = set(data["columns"]["audit"]) | ({source["known_at"]} - {source["event_time"]})
    seen = [column for column in parts["train"].columns if column not in hidden]
    unlabelled = [column for column in seen if column != data["label"]["column"]]
    chosen = {
        "train": parts["train"].select(*seen),
        "valid": parts["valid"].select(*seen),
        "rows": parts["holdout"].select(*unlabelled),
        "holdout": parts["holdout"],
    }
    for name, part in chosen.items():
        engine.write(connection, part.order_by([EVENT_TIME, ROW_ID]), task.outputs[name])


def _label_facts(connection: Any, labelled: Any, label: _Label, kind: str) -> dict[str, Any]:
    number = labelled[label.column].cast("float64")
    found = engine.one(
        connection,
        labelled.aggregate(
            first=labelled[EVENT_TIME].min(), last=labelled[EVENT_TIME].max(), rows=labelled.count(), total=number.sum()
        ),
    )
    instants = {
        f"{name}_event": None if found[name] is None else format_instant(found[name]) for name in ("first", "last")
    }
    mean = round(float(found["total"] or 0) / found["rows"], 12) if found["rows"] else None
    if kind == "binary":
        return {**instants, "positives": int(found["total"] or 0), "label_rate": mean}
    return {**instants, "label_mean": mean}


def _fingerprint(connection: Any, labelled: Any) -> str:
    """sha256 over columns, number of rows and the sum of the rows' hashes: the order of the rows plays no part."""
    columns = sorted(labelled.columns)
    words = [labelled[column].cast("string").fill_null("\\N") for column in columns]
    text = ibis.literal("\x1f").join(words)
    total = _digest(text).cast("decimal(38, 0)").sum()
    found = engine.one(connection, labelled.aggregate(rows=labelled.count(), total=total))
    content = "\n".join([*columns, str(found["rows"]), str(found["total"] or 0)])
    return hashlib.sha256(content.encode()).hexdigest()


def _too_little(counts: Mapping[str, int], section: Mapping[str, Any]) -> str:
    learnt = counts["train"] + counts["valid"]
    needed = max(int(section["min_rows"]), 1)
    if learnt < needed:
        return f"{learnt} labelled rows to learn from; at least {needed} are needed"
    if counts["train"] == 0:
        return f"all {learnt} labelled rows are in the validation share; none is left to learn from"
    if counts["holdout"] == 0:
        return "no labelled row in the holdout"
    return ""


def _refuse_own_names(columns: Any, name: str, source: Mapping[str, Any]) -> None:
    """StepFailed for a column that can be taken for ours; the event time, and a key of one column, may be named so."""
    allowed = {EVENT_TIME: source["event_time"] == EVENT_TIME, ROW_ID: source["key"] == [ROW_ID]}
    taken = [column for column in columns if column.lower() in allowed and not allowed.get(column, False)]
    if taken:
        raise StepFailed(f"source {name}: the name `{taken[0]}` is ctc's own; rename the column")
