"""The check `leakage`: how well one feature alone tells the label, as ROC AUC by ranks, ties counted half.

Numbers, booleans and times rank by themselves, either way round. Missing values rank below all others or above them,
whichever tells more. A text ranks by the share of positive labels that its value has among the *other* rows: the rows
are cut into five parts by a hash of their key, a value's share leaves the row's own part out, with one row of the
overall share added, and rows are compared within their part. So a value that stands once tells nothing, and neither a
key of many values nor a column of one value looks like a leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
from ibis.expr import datatypes as dt

from ctc.policy import data_checks
from ctc.policy.data_checks import Answer
from ctc.steps import engine, judged_rows
from ctc.steps.judged_rows import Check, Place
from ctc.steps.ports import Services
from ctc.steps.task import Task

MOST_ROWS = 100_000
"""Rows of each class that are ranked, chosen by a hash of their key. An AUC does not depend on how frequent a class
is, so the classes may be thinned out by themselves; its standard error is then at most 0.0016."""

MOST_CLASSES = 20
"""Classes of a multiclass label that are told from the rest, the most frequent ones."""

FOLDS = 5

_Y, _KEY, _FOLD = "_ctc_y", "_ctc_key", "_ctc_fold"


@ibis.udf.scalar.builtin(name="hash", signature=((dt.string, dt.int64), dt.uint64))  # type: ignore[untyped-decorator]
def _hash(text: str, salt: int) -> int:  # type: ignore[empty-body]
    """The engine's hash of a text: the same at each run of one version of the engine."""


def judge(connection: Any, task: Task, services: Services, check: Check) -> Answer:
    """StepFailed if the rows cannot be read, or lack a column that the check names."""
    data, arguments = task.policy["data"], check["arguments"]
    limit = {"max_auc": float(arguments["max_auc"])}
    label = data["label"]
    if label is None:
        return Answer("not_evaluable", "the spec has no label", limit)
    at, where = judged_rows.place(check, data), f"check {check['name']}"
    table = judged_rows.rows(connection, task, at)
    where = f"{where}: {at}"
    judged_rows.require([label["column"]], table, at, where, data)
    given = list(arguments.get("columns") or ())
    judged_rows.require(given, table, at, where, data)
    columns = given or _features(list(table.columns), at, data)
    kinds = {column: _kind(table[column].type()) for column in columns}
    unjudged = {column: str(table[column].type()) for column, kind in kinds.items() if not kind}
    told: dict[str, Any] = {**limit, "not_judged": unjudged} if unjudged else dict(limit)
    if unjudged and given:
        column, kind = next(iter(unjudged.items()))
        return Answer("not_evaluable", f"`{column}` is {kind}, which cannot be ranked", told)
    labelled = table.filter(~engine.missing(table[label["column"]]))
    best: dict[str, float] = {}
    ranked = 0
    for number, positive in enumerate(_targets(connection, labelled, labelled[label["column"]], data["task"])):
        sample, positives, negatives = _sample(connection, labelled, positive, columns, at, data, number)
        if not positives or not negatives:
            continue
        ranked = max(ranked, positives + negatives)
        for column, kind in kinds.items():
            if kind:
                found = area(connection, sample, column, kind == "text", positives, negatives)
                best[column] = max(best.get(column, 0.0), found, 1 - found)
    if not ranked:
        return Answer("not_evaluable", "the labels are all of one class", told)
    return data_checks.leakage(arguments, best, told | {"rows": ranked})


def area(connection: Any, sample: Any, column: str, text: bool, positives: int, negatives: int) -> float:
    """The ROC AUC of a column for `_ctc_y` (1 or 0), of whose rows there are that many of each class.

    Of numbers the one with missing values at the end that makes it differ more from one half.
    """
    if text:
        wins, _, _, pairs = _wins(connection, _told_by_others(sample, column, positives, negatives), _FOLD)
        return wins / pairs if pairs else 0.5
    present = sample.filter(~engine.missing(sample[column]))
    cells = present.group_by(value=present[column]).aggregate(positive=present[_Y].sum(), rows=present.count())
    wins, placed, against, _ = _wins(connection, cells.mutate(**{_FOLD: 0}), _FOLD)
    without, without_against = positives - placed, negatives - against
    ties = 0.5 * without * without_against
    lowest = (wins + placed * without_against + ties) / (positives * negatives)
    highest = (wins + without * against + ties) / (positives * negatives)
    return max(lowest, highest, key=lambda found: abs(found - 0.5))


def _wins(connection: Any, cells: Any, part: str) -> tuple[float, int, int, float]:
    """Pairs of a positive and a negative row in the right order (ties half), the rows of both classes, and all pairs.

    Pairs are of rows of one `part`.
    """
    grouped = cells.group_by([part, "value"]).aggregate(positive=cells["positive"].sum(), rows=cells["rows"].sum())
    negative = grouped["rows"] - grouped["positive"]
    upto = negative.sum().over(ibis.cumulative_window(group_by=part, order_by=grouped["value"]))
    counted = grouped.mutate(_ctc_negative=negative, _ctc_below=upto - negative)
    right = counted["positive"].cast("float64") * (counted["_ctc_below"] + counted["_ctc_negative"] / 2.0)
    parts = counted.group_by(part).aggregate(
        wins=right.sum(), positive=counted["positive"].sum(), negative=counted["_ctc_negative"].sum()
    )
    pairs = parts["positive"].cast("float64") * parts["negative"]
    found = engine.one(
        connection,
        parts.aggregate(
            wins=parts["wins"].sum(), placed=parts["positive"].sum(), against=parts["negative"].sum(), pairs=pairs.sum()
        ),
    )
    return (
        float(found["wins"] or 0.0),
        int(found["placed"] or 0),
        int(found["against"] or 0),
        float(found["pairs"] or 0),
    )


def _told_by_others(sample: Any, column: str, positives: int, negatives: int) -> Any:
    """Cells of one text and fold; `value` is the share of positives that the text has in the other folds."""
    cells = sample.group_by([column, _FOLD]).aggregate(positive=sample[_Y].sum(), rows=sample.count())
    whole = ibis.window(group_by=column)
    others = cells["positive"].sum().over(whole) - cells["positive"]
    count = cells["rows"].sum().over(whole) - cells["rows"]
    prior = positives / (positives + negatives)
    return cells.mutate(value=(others + prior) / (count + 1.0))


def _targets(connection: Any, table: Any, label: Any, task: str) -> list[Any]:
    """What is to be told: a binary label, each frequent class against the rest, or a number above its median."""
    if task == "binary":
        return [label if label.type().is_boolean() else label == 1]
    if task == "multiclass":
        counted = table.group_by(value=label).aggregate(rows=table.count())
        frequent = counted.order_by([counted["rows"].desc(), counted["value"]]).limit(MOST_CLASSES)
        found = engine.one(connection, frequent.aggregate(values=frequent["value"].collect()))
        return [label == value for value in found["values"] or []]
    return [label > engine.one(connection, table.aggregate(middle=label.cast("float64").median()))["middle"]]


def _sample(
    connection: Any, table: Any, positive: Any, columns: list[str], at: Place, data: Mapping[str, Any], number: int
) -> tuple[Any, int, int]:
    """At most about `MOST_ROWS` rows of each class with their class and fold, and how many there are of both."""
    chosen = table.select(*columns, **{_KEY: _key(table, at, data), _Y: positive.cast("int64")})
    found = engine.one(connection, chosen.aggregate(positives=chosen[_Y].sum(), rows=chosen.count()))
    counts = {1: int(found["positives"] or 0), 0: int(found["rows"]) - int(found["positives"] or 0)}
    if max(counts.values()) > MOST_ROWS:
        draw = _hash(chosen[_KEY], ibis.literal(1)).cast("float64") / 2.0**64
        shares = {side: MOST_ROWS / max(count, MOST_ROWS) for side, count in counts.items()}
        chosen = chosen.filter(draw < ibis.ifelse(chosen[_Y] == 1, shares[1], shares[0]))
    fold = _hash(chosen[_KEY], ibis.literal(2)) % FOLDS
    held = engine.hold(connection, f"_ctc_leak_{number}", chosen.mutate(**{_FOLD: fold}).drop(_KEY))
    found = engine.one(connection, held.aggregate(positives=held[_Y].sum(), rows=held.count()))
    positives = int(found["positives"] or 0)
    return held, positives, int(found["rows"]) - positives


def _key(table: Any, at: Place, data: Mapping[str, Any]) -> Any:
    if at.source is None:
        return table["row_id"]
    described = data["sources"][at.source]
    names = described["key"] or (described["join"] or {}).get("key") or list(table.columns)
    return ibis.literal("|").join([table[name].cast("string").fill_null("") for name in names])


def _features(columns: list[str], at: Place, data: Mapping[str, Any]) -> list[str]:
    """The columns that a model is given: not the label, nor when it was known, nor what is ours or for audits."""
    main = data["sources"][data["rows"] if at.source is None else at.source]
    hidden = {data["label"]["column"], main["known_at"], *data["columns"]["audit"]}
    if at.source is None:
        hidden |= {"row_id"} | ({"event_time"} if main["event_time"] in columns else set())
    hidden -= {main["event_time"]} if main["event_time"] != data["label"]["column"] else set()
    return [column for column in columns if column not in hidden]


def _kind(kind: Any) -> str:
    """`number`, `text`, or nothing for what can be neither ordered nor grouped with sense."""
    if kind.is_numeric() or kind.is_boolean() or kind.is_timestamp() or kind.is_date():
        return "number"
    return "text" if kind.is_string() else ""
