"""What a task asks of its rows and their labels, and what an attempt records of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis

from ctc.policy.windows import format_instant
from ctc.steps import engine
from ctc.steps.holdouts import HELD
from ctc.steps.joins import EVENT_TIME, MET, ORIGIN
from ctc.steps.task import StepFailed

Data = Mapping[str, Any]

ROW_ID = "row_id"

_CLASSES = 100
"""With more classes than this their counts are not recorded."""

_WANTED = {
    "binary": "a binary task needs 0 and 1, or false and true",
    "multiclass": "a multiclass task needs texts or whole numbers",
    "regression": "a regression needs finite numbers",
    "ranking": "a ranking needs finite numbers, 0 or more",
    "forecast": "a forecast needs finite numbers",
}


def required(connection: Any, joined: Any, data: Data) -> tuple[int, dict[str, int]]:
    """How many rows have no label, and how many met each source of features.

    StepFailed if a row has no key or no group, or a label is none of its task.
    """
    counts = {"rows": joined.count(), "keyless": joined[ROW_ID].isnull().sum()}
    counts |= {column: joined[column].sum() for column in joined.columns if column.startswith(MET)}
    if data["label"] is not None:
        counts |= _label_counts(joined[data["label"]["column"]], data)
    group = _group(joined, data)
    if group is not None:
        counts["groupless"] = group.isnull().sum()
    found = {name: int(value or 0) for name, value in engine.one(connection, joined.aggregate(**counts)).items()}
    if found["keyless"]:
        key = ", ".join(data["sources"][data["rows"]]["key"])
        raise StepFailed(f"source {data['rows']}: {found['keyless']} rows have no value in their key ({key})")
    if found.get("groupless"):
        raise StepFailed(f"the group `{data['ranking']['group']}` has no value in {found['groupless']} rows")
    if data["label"] is not None:
        _refuse_labels(found, data)
    met = {name.removeprefix(MET): count for name, count in found.items() if name.startswith(MET)}
    return found.get("absent", 0), met if found["rows"] else {}


def _label_counts(column: Any, data: Data) -> dict[str, Any]:
    name, kind, task = data["label"]["column"], column.type(), data["task"]
    fits = kind.is_numeric() or (task == "binary" and kind.is_boolean())
    if task == "multiclass":
        fits = kind.is_string() or kind.is_integer()
    if not fits:
        raise StepFailed(f"the label `{name}` is {kind}; {_WANTED[task]}")
    wrong = column.isnull() & ibis.literal(False)
    if task == "binary" and not kind.is_boolean():
        wrong = column.notin([0, 1])
    elif task == "ranking":
        wrong = (column < 0) | (column.isinf() if kind.is_floating() else ibis.literal(False))
    elif kind.is_floating():
        wrong = column.isinf()
    return {"absent": column.isnull().sum(), "wrong": wrong.sum()}


def _refuse_labels(found: Mapping[str, int], data: Data) -> None:
    name = data["label"]["column"]
    if found["wrong"]:
        raise StepFailed(f"the label `{name}` is something else in {found['wrong']} rows; {_WANTED[data['task']]}")
    if found["absent"] and data["label"]["absent"] == "error":
        raise StepFailed(
            f"{found['absent']} of {found['rows']} rows have no label by their age, and `absent` is `error`"
        )


def _group(joined: Any, data: Data) -> Any:
    """The ranking's group, None for another task. StepFailed if predict would not be given it."""
    if data.get("ranking") is None:
        return None
    group = data["ranking"]["group"]
    engine.require(group, joined.columns, "`task.ranking.group`: the joined snapshot")
    if group in data["columns"]["audit"]:
        raise StepFailed(f"`{group}` is the ranking's group, which predict needs: take it out of `columns.audit`")
    return joined[group]


def labelled(joined: Any, data: Data) -> Any:
    """The rows that count: without a label in the spec all of them, else by what `absent` says."""
    if data["label"] is None:
        return joined
    column = joined[data["label"]["column"]]
    if data["label"]["absent"] == "negative":
        negative = ibis.literal(0).cast(column.type())
        return joined.mutate(**{data["label"]["column"]: column.fill_null(negative)})
    return joined.filter(column.notnull())


def facts(connection: Any, rows: Any, data: Data, *, timed: bool) -> dict[str, Any]:
    """What is recorded of the rows that count, by task."""
    counts = {"rows": rows.count()}
    if timed:
        counts |= {"first": rows[EVENT_TIME].min(), "last": rows[EVENT_TIME].max()}
    if data["label"] is not None and data["task"] != "multiclass":
        counts["total"] = rows[data["label"]["column"]].cast("float64").sum()
    if data.get("ranking") is not None:
        counts["groups"] = rows[data["ranking"]["group"]].nunique()
    if data.get("forecast") is not None:
        series = ibis.struct({name: rows[name] for name in data["forecast"]["series"]})
        counts |= {"series": series.nunique(), "origins": rows[ORIGIN].nunique(where=rows[HELD])}
    found = engine.one(connection, rows.aggregate(**counts))
    told = {f"{name}_event": _instant(found[name]) for name in ("first", "last")} if timed else {}
    told |= _label_facts(connection, rows, data, found)
    return told | {name: int(found[name]) for name in ("groups", "series", "origins") if name in found}


def _instant(value: Any) -> str | None:
    return None if value is None else format_instant(value)


def _label_facts(connection: Any, rows: Any, data: Data, found: Mapping[str, Any]) -> dict[str, Any]:
    if data["label"] is None:
        return {}
    if data["task"] == "multiclass":
        return _class_facts(connection, rows[data["label"]["column"]])
    mean = round(float(found["total"] or 0) / found["rows"], 12) if found["rows"] else None
    if data["task"] == "binary":
        return {"positives": int(found["total"] or 0), "label_rate": mean}
    return {"label_mean": mean}


def _class_facts(connection: Any, label: Any) -> dict[str, Any]:
    """The number of classes, and the rows of each where there are not too many; classes as text, in their order."""
    counted = label.cast("string").name("name").value_counts(name="n").order_by("name").limit(_CLASSES + 1)
    found = engine.fetched(connection, counted)
    classes = {str(name): int(n) for name, n in zip(found["name"], found["n"], strict=True)}
    if len(classes) <= _CLASSES:
        return {"class_count": len(classes), "classes": classes}
    total = label.nunique().name("n").as_table()
    return {"class_count": int(engine.one(connection, total)["n"]), "classes": None}
