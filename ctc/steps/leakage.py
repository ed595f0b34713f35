"""The check `leakage`: how well one feature alone tells the label, as ROC AUC by ranks, ties counted half.

Numbers, booleans and times rank by themselves, either way round. Missing values rank below all others or above them,
whichever tells more. A text ranks by the share of positive labels that its value has among the *other* rows: the rows
are cut into five parts by a hash of their key, a value's share leaves the row's own part out, with one row of the
overall share added, and rows are compared within their part. So a value that stands once tells nothing, and neither a
key of many values nor a column of one value looks like a leak.

The engine draws the rows and brings one column after the other; `ctc.policy.leaks` ranks them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

from ctc.policy import data_checks, leaks
from ctc.policy.data_checks import Answer
from ctc.steps import engine, judged_rows
from ctc.steps.judged_rows import Check, Place
from ctc.steps.ports import Services
from ctc.steps.task import Task

MOST_ROWS = 100_000
"""Rows of each class that are ranked, chosen by a hash of their key. An AUC does not depend on how frequent a class
is, so the classes may be thinned out by themselves; its standard error is then at most 0.0016. The hash is the
engine's own: one that other engines have, too, such as MD5, takes as long as all the rest of the check."""

MOST_CLASSES = 20
"""Classes of a multiclass label that are told from the rest, the most frequent ones."""

BITS = 53
"""The upper bits of a key's hash that say whether its row is drawn: below `share x 2^53`."""

_ALL: int = 2**BITS

_CLASS, _KEY, _SAMPLE = "_ctc_class", "_ctc_key", "_ctc_leakage"


@dataclass(frozen=True)
class _Target:
    """Class `number` against the rest, and the limits under which rows of both are drawn, of 2^BITS."""

    number: int
    limit: int
    limit_of_rest: int

    def of(self, classes: Any, draws: Any) -> tuple[Any, Any]:
        """Whether each row is of the class, and whether it is ranked."""
        positive = classes == self.number
        return positive, draws < np.where(positive, self.limit, self.limit_of_rest)


@dataclass(frozen=True)
class _Sample:
    """The drawn rows' classes, draws and folds, and the classes that there is something to tell from."""

    classes: Any
    draws: Any
    folds: Any
    targets: tuple[_Target, ...]

    @property
    def rows(self) -> int:
        """The most rows that are ranked for a class."""
        return max(int(np.count_nonzero(target.of(self.classes, self.draws)[1])) for target in self.targets)


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
    ranked = [column for column, kind in kinds.items() if kind]
    chosen = labelled.select(
        *ranked,
        **{_KEY: _key(labelled, at, data), _CLASS: _class(connection, labelled[label["column"]], data["task"])},
    )
    sample = _drawn(connection, chosen)
    if not sample.targets:
        return Answer("not_evaluable", "the labels are all of one class", told)
    best = _areas(connection, {column: chosen[column].type() for column in ranked}, sample)
    return data_checks.leakage(arguments, best, told | {"rows": sample.rows})


def _class(connection: Any, label: Any, task: str) -> Any:
    """What is to be told, as whole numbers: a binary label, each frequent class, or a number above its median."""
    if task == "binary":
        return (label if label.type().is_boolean() else label == 1).cast("int64")
    if task == "multiclass":
        counted = label.as_table().group_by(value=label).aggregate(rows=lambda t: t.count())
        frequent = counted.order_by([ibis.desc("rows"), "value"]).limit(MOST_CLASSES)
        values = engine.fetched(connection, frequent.select("value"))["value"]
        return ibis.cases(*((label == value, number) for number, value in enumerate(values)), else_=-1).cast("int64")
    middle = engine.one(connection, label.as_table().aggregate(middle=label.cast("float64").median()))["middle"]
    return (label > middle).cast("int64")


def _drawn(connection: Any, chosen: Any) -> _Sample:
    """Keeps at most about `MOST_ROWS` rows of each class, and of its rest, as the table `_SAMPLE`."""
    query = connection.compile(chosen)
    counted = engine.asked(connection, f"SELECT {_CLASS} AS class, count(*) AS rows FROM ({query}) GROUP BY 1")
    counts = dict(zip(counted["class"], counted["rows"], strict=True))
    total = sum(counts.values())
    # Of two classes one tells as much as the other.
    numbers = [number for number in sorted(counts) if number >= 0 and not (number == 0 and set(counts) <= {0, 1})]
    if not numbers:
        nothing = np.empty(0, dtype=np.int64)
        return _Sample(nothing, nothing, nothing, ())
    targets = [_Target(number, _limit(counts[number]), _limit(total - counts[number])) for number in numbers]
    limits = {
        number: max(target.limit if target.number == number else target.limit_of_rest for target in targets)
        for number in counts
    }
    wanted = " ".join(f"WHEN {number} THEN _ctc_draw < {limit}" for number, limit in limits.items() if limit < _ALL)
    where = f"WHERE CASE {_CLASS} {wanted} ELSE true END" if wanted else ""
    engine.hold_query(
        connection,
        _SAMPLE,
        f"SELECT * EXCLUDE ({_KEY}, _ctc_hash), CAST(_ctc_hash % {leaks.FOLDS} AS BIGINT) AS _ctc_fold "
        f"FROM (SELECT *, CAST(_ctc_hash >> {64 - BITS} AS BIGINT) AS _ctc_draw "
        f"FROM (SELECT *, hash({_KEY}) AS _ctc_hash FROM ({query}))) {where}",
    )
    query = f"SELECT {_CLASS}, _ctc_draw, _ctc_fold FROM {_SAMPLE}"
    classes, draws, folds = engine.arrays(connection, query)
    return _Sample(classes, draws, folds, tuple(target for target in targets if _tells(target, classes, draws)))


def _tells(target: _Target, classes: Any, draws: Any) -> bool:
    """Whether rows of both kinds are ranked."""
    positive, ranked = target.of(classes, draws)
    return bool((positive & ranked).any() and (~positive & ranked).any())


def _limit(rows: int) -> int:
    """Below which number, of 2^BITS, a row is drawn of so many."""
    return _ALL * MOST_ROWS // max(rows, MOST_ROWS)


def _areas(connection: Any, kinds: Mapping[str, Any], sample: _Sample) -> dict[str, float]:
    """By column the highest ROC AUC for any of the classes: some are ranked while the engine brings the next one."""
    found: dict[str, float] = {}
    ranking: deque[tuple[str, Future[float]]] = deque()
    with ThreadPoolExecutor(engine.threads(connection)) as workers:
        for column, kind in kinds.items():
            if len(ranking) > engine.threads(connection):
                name, area = ranking.popleft()
                found[name] = area.result()
            values, there = _values(connection, column, kind)
            ranking.append((column, workers.submit(_area, sample, values, there == 1, bool(kind.is_string()))))
        found |= {name: area.result() for name, area in ranking}
    return found


def _values(connection: Any, column: str, kind: Any) -> list[Any]:
    """A column of the sample as numbers, and whether each is there."""
    name = engine.quoted(column)
    # Without a window the engine keeps the order in which rows were written.
    there, order = f"{name} IS NOT NULL", ""
    if kind.is_floating():
        value, there = name, f"{there} AND NOT isnan({name})"
    elif kind.is_signed_integer() or kind.is_boolean():
        # With NULL they would become floats, which do not hold all of them.
        value = f"COALESCE(CAST({name} AS BIGINT), 0)"
    else:
        value, order = f"dense_rank() OVER (ORDER BY {name})", " ORDER BY rowid"
    return engine.arrays(connection, f"SELECT {value}, CAST({there} AS TINYINT) FROM {_SAMPLE}{order}")


def _area(sample: _Sample, values: Any, present: Any, text: bool) -> float:
    """The highest ROC AUC of a column for any of the classes, in the better direction."""
    best = 0.0
    for target in sample.targets:
        positive, ranked = target.of(sample.classes, sample.draws)
        if text:
            found = leaks.of_texts(values[ranked], sample.folds[ranked], positive[ranked])
        else:
            without = positive[ranked & ~present]
            placed = ranked & present
            positives = int(np.count_nonzero(without))
            found = leaks.of_numbers(values[placed], positive[placed], positives, len(without) - positives)
        best = max(best, found, 1 - found)
    return best


def _key(table: Any, at: Place, data: Mapping[str, Any]) -> Any:
    if at.source is None:
        return table["row_id"].fill_null("")
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
