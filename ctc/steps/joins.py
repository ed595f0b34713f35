"""Features and labels, joined to rows as they were known at an instant of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis

from ctc.policy.windows import BEGINNING
from ctc.steps import engine
from ctc.steps.task import StepFailed

Data = Mapping[str, Any]

EVENT_TIME = "event_time"

DEADLINE = "_ctc_deadline"
"""The instant by which a row's label counts: the row's age of `known_after`, or now where there is no time."""

ORIGIN = "origin"
"""The instant from which a row is forecast."""

MET = "_ctc_met_"
"""Columns that start so say whether a row met a row of the source that they name."""


def enriched(connection: Any, rows: Any, data: Data, *, by: str, judging: str | None = None) -> Any:
    """`rows` with their features as known at the instant in their column `by`, and their label.

    `judging` names the source of the rows if it is not the main one: it may bring features and the label itself.
    """
    own = set() if judging is None else set(rows.columns)
    for name, feature in data["sources"].items():
        if feature["role"] == "features":
            rows = _feature(connection, rows, name, feature, by, own)
    return rows if data["label"] is None else _label(connection, rows, data, judging)


def require_met(connection: Any, rows: Any, data: Data, met: Mapping[str, int]) -> None:
    """StepFailed for features that no row could know in time, although their keys meet: `met` counts rows by source.

    A training set would hold nothing of them, and what would be there when the model serves, nobody has learnt from.
    """
    for name, count in met.items():
        if count:
            continue
        source = data["sources"][name]
        read = engine.table(connection, name, source)
        keys = list(source["join"]["key"])
        both = rows.semi_join(read, [rows[key] == read[key] for key in keys])
        late = int(engine.one(connection, both.aggregate(n=both.count()))["n"])
        if late:
            known = source["known_at"] or source["event_time"]
            raise StepFailed(
                f"source {name}: {late} rows meet it by their key, and for every one of them `{known}` is later: its "
                "columns were known only after the fact, which is leakage; name the column that says when they became "
                "known as `known_at`, or remove the source"
            )


def _feature(connection: Any, rows: Any, name: str, source: Data, by: str, own: set[str]) -> Any:
    if own:
        wanted = _wanted(engine.table(connection, name, source), source)
        brought = [column for column in wanted if column in own]
        if brought and len(brought) == len(wanted):
            return rows
        if brought:
            absent = next(column for column in wanted if column not in own)
            raise StepFailed(
                f"the holdout's source brings `{brought[0]}` of the source {name}, and not `{absent}`: bring all "
                "columns of it, or none"
            )
    return as_of(connection, rows, name, source, by, None)


def _wanted(read: Any, source: Data) -> list[str]:
    """The columns that a join of the source brings."""
    return [column for column in read.columns if column not in (*source["join"]["key"], _known(source))]


def _known(source: Data) -> str | None:
    known: str | None = source["known_at"] or source["event_time"]
    return known


def _label(connection: Any, rows: Any, data: Data, judging: str | None) -> Any:
    """The label as known at the deadline; null where there was none by then."""
    label, name = data["label"], data["label"]["column"]
    brought = judging is not None and name in rows.columns
    carrier = judging if judging is not None and (brought or label["source"] == data["rows"]) else label["source"]
    source = data["sources"][carrier]
    joined = carrier not in (data["rows"], judging)
    if joined:
        rows = as_of(connection, rows, carrier, source, DEADLINE, name)
    engine.require(name, rows.columns, f"source {carrier}")
    column = rows[name]
    if not joined and source["known_at"] is not None:
        column = ibis.ifelse(rows[source["known_at"]] <= rows[DEADLINE], column, ibis.null())
    return rows.mutate(**{name: ibis.ifelse(engine.missing(column), ibis.null(), column)})


def as_of(connection: Any, rows: Any, name: str, source: Data, by: str, only: str | None) -> Any:
    """`rows` with the columns of a source as they were known at `by`: the latest row of each key by then."""
    read = engine.table(connection, name, source)
    known = _known(source)
    keys = list(source["join"]["key"])
    for key in keys:
        engine.require(key, rows.columns, "the source with `role: rows`")
        engine.require_comparable(rows[key], read[key], f"source {name}: join by `{key}`")
    if only is not None:
        engine.require(only, read.columns, f"source {name}")
        read = read.select(*filter(None, (*keys, known)), only)
    wanted = _wanted(read, source)
    _refuse_clash(rows.columns, wanted, name)
    if known is None:
        # Only rows that have no time themselves are joined to such a source: what it says, it always said.
        _require_once(connection, read, keys, name)
        known = "_ctc_always"
        read = read.mutate(**{known: engine.literal(BEGINNING)})
    read = engine.latest(read, keys, known).rename(_ctc_known=known, **{f"_ctc_key_{key}": key for key in keys})
    matches = [rows[key] == read[f"_ctc_key_{key}"] for key in keys]
    joined = rows.asof_join(read, rows[by] >= read["_ctc_known"], matches)
    met = {f"{MET}{name}": joined["_ctc_known"].notnull()} if only is None else {}
    return joined.mutate(**met).select(*rows.columns, *wanted, *met)


def _require_once(connection: Any, read: Any, keys: Sequence[str], name: str) -> None:
    counted = read.group_by(list(keys)).aggregate(n=read.count()).filter(ibis._.n > 1)
    repeated = int(engine.one(connection, counted.aggregate(n=counted.count()))["n"])
    if repeated:
        raise StepFailed(
            f"source {name}: {repeated} values of `{', '.join(keys)}` stand in more than one row, and nothing says "
            "which is the latest; add `known_at:`, or keep one row of each"
        )


def _refuse_clash(columns: Sequence[str], wanted: Sequence[str], name: str) -> None:
    earlier = {column.lower() for column in columns}
    clash = sorted(column for column in wanted if column.lower() in earlier)
    if clash:
        raise StepFailed(f"source {name}: `{clash[0]}` is a column of an earlier source too; rename one of them")
