"""The step `evaluate`: every number that a decision may use, for contender and champion on the same rows.

Metrics and their intervals are of the whole holdout; what compares the two models is of the rows after both models'
training end. Resampling is seeded by the names of gate and metric and works on rows in the order of `row_id`, so that
the same predictions give the same bits on every engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ctc.compiler.bundle import as_json
from ctc.policy import statistics
from ctc.policy.statistics import NotEvaluable
from ctc.policy.windows import Windows, format_instant, parse_instant
from ctc.steps import baselines, metrics, predictions, results
from ctc.steps.ports import Services
from ctc.steps.predictions import Floats, Malformed
from ctc.steps.task import Result, StepFailed, Task

VERSION = 1
INTERVAL_CONFIDENCE = 0.95
INTERVAL_RESAMPLES = 500
"""Enough for an interval that is shown; what decides is `paired_bootstrap`, with its own number."""

Rows = NDArray[np.bool_]
Indices = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Holdout:
    """The judged rows, in the order of `row_id`. `labels` are 0 and 1 for a binary task.

    `events` are microseconds since 1970 in UTC; `slices` are the row numbers by slice and value, values in order;
    values of fewer rows than the slice asks for are left out.
    """

    ids: pa.Array
    events: Indices
    labels: Floats
    slices: Mapping[str, Mapping[str, Indices]]


@dataclass(frozen=True)
class Champion:
    """The champion's predictions, or why there are none: `state` is evaluated, absent or not_comparable."""

    state: str
    scores: Floats | None = None
    reason: str = ""


def run(task: Task, services: Services) -> Result:
    """Writes `evaluation` and the row-level `scores`; StepFailed if the contender's predictions are malformed."""
    policy = task.policy
    holdout = _read_holdout(task)
    kind = policy["data"]["task"]
    probabilities = any(metric["kind"] in metrics.PROBABILITIES for metric in policy["evaluation"]["metrics"])
    contender = predictions.read(task.inputs["contender"], holdout.ids, kind, probabilities=probabilities)
    champion = _champion(task.inputs["champion"], holdout, kind, probabilities)
    compared_after = _compared_after(task, services)
    compared = holdout.events >= (compared_after - _EPOCH) // timedelta(microseconds=1)
    if policy["windows"].get("holdout_kind", "time") != "time":
        # What is held out for good is in no model's training, whenever it happened.
        compared = np.ones(len(holdout.ids), dtype=np.bool_)
    measured = {
        metric["name"]: {
            "better": metric["better"],
            "contender": _measure(metric, holdout.labels, contender, _too_small(policy, holdout.labels)),
            "champion": None
            if champion.scores is None
            else _measure(metric, holdout.labels, champion.scores, _too_small(policy, holdout.labels)),
        }
        for metric in policy["evaluation"]["metrics"]
    }
    evaluation = {
        "version": VERSION,
        "rows": len(holdout.ids),
        "positives": int(holdout.labels.sum()) if kind == "binary" else None,
        "compared_after": None if champion.state == "absent" else format_instant(compared_after),
        "compared_rows": 0 if champion.scores is None else int(compared.sum()),
        "champion": champion.state,
        "metrics": measured,
        "slices": _slices(policy, holdout, contender, champion),
        "gates": _gates(policy, holdout, contender, champion, compared),
    }
    _write(task, evaluation, holdout, contender, champion)
    baselines.keep_predictions(task, services, contender)
    return Result("ok", reason=_summary(evaluation), numbers=evaluation)


def _read_holdout(task: Task) -> Holdout:
    label = task.policy["data"]["label"]["column"]
    slices = {part["name"]: (part["column"], part["min_rows"]) for part in task.policy["evaluation"]["slices"]}
    parquet = pq.ParquetFile(task.inputs["holdout"] / "data.parquet")
    known = parquet.schema_arrow.names
    for name, (column, _) in slices.items():
        if column not in known:
            raise StepFailed(f"slice {name}: the snapshot has no column `{column}`; it has: {', '.join(known)}")
    timed = ["event_time"] if "event_time" in known else []
    columns = dict.fromkeys(["row_id", *timed, label, *(column for column, _ in slices.values())])
    table = parquet.read(columns=list(columns)).sort_by("row_id")
    ids = table["row_id"].cast(pa.string()).combine_chunks()
    repeated = len(ids) - len(pc.unique(ids))
    if repeated:
        raise StepFailed(
            f"{repeated} rows of the holdout repeat their key, so predictions cannot be told apart; "
            "name the columns that identify a row as `key`, and add a `unique` check"
        )
    return Holdout(
        ids,
        _microseconds(table["event_time"]) if timed else np.zeros(len(ids), dtype=np.int64),
        predictions.floats(table[label]),
        {name: _by_value(table[column], name, least) for name, (column, least) in slices.items()},
    )


def _microseconds(instants: pa.ChunkedArray) -> Indices:
    whole = instants.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).combine_chunks()
    return np.asarray(np.from_dlpack(whole), dtype=np.int64)


def _by_value(column: pa.ChunkedArray, name: str, least: int) -> dict[str, Indices]:
    """The numbers of the rows of each value that `least` rows have, values as text; rows without one are `null`."""
    try:
        texts = column.cast(pa.string())
    except pa.ArrowException as error:
        raise StepFailed(f"slice {name}: a column of {column.type} has no values to slice by") from error
    coded = (texts.fill_null("null") if texts.null_count else texts).combine_chunks().dictionary_encode()
    codes = np.from_dlpack(coded.indices)
    order, counts = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=len(coded.dictionary))
    ends = np.cumsum(counts)
    # Chosen before anything becomes a Python object: a column may have as many values as there are rows.
    chosen = np.flatnonzero(counts >= least)
    values = coded.dictionary.take(pa.array(chosen)).to_pylist()
    groups = [order[ends[code] - counts[code] : ends[code]] for code in chosen]
    return dict(sorted(zip(values, groups, strict=True)))


def _champion(folder: Path, holdout: Holdout, kind: str, probabilities: bool) -> Champion:
    """What its own command answered on today's rows; it may no longer be able to read them."""
    if predictions.absent(folder):
        return Champion("absent")
    unlike = predictions.not_comparable(folder)
    if unlike:
        return Champion("not_comparable", reason=unlike)
    try:
        return Champion("evaluated", predictions.read(folder, holdout.ids, kind, probabilities=probabilities))
    except Malformed as malformed:
        return Champion("not_comparable", reason=f"the champion's predictions: {malformed}")


def _compared_after(task: Task, services: Services) -> datetime:
    """The later training end of the two models: neither has learnt from rows at or after it."""
    own = Windows.at(task.policy["windows"], task.instant).train_end
    champion = results.request(services.objects, task.attempt).get("champion")
    return own if champion is None else max(own, parse_instant(champion["trained_until"]))


def _too_small(policy: Mapping[str, Any], labels: Floats) -> str:
    """Why these rows are too few to judge on; empty if they are not."""
    windows = policy["windows"]
    if len(labels) < windows["holdout_min_rows"]:
        return f"{len(labels)} rows in the holdout; at least {windows['holdout_min_rows']} are asked for"
    positives = int(labels.sum())
    if policy["data"]["task"] == "binary" and positives < windows["holdout_min_positives"]:
        return f"{positives} positive rows in the holdout; at least {windows['holdout_min_positives']} are asked for"
    return ""


def _measure(metric: Mapping[str, Any], labels: Floats, scores: Floats, too_small: str) -> dict[str, Any]:
    """One metric of one model: value and 95 % interval, or the reason why there is none."""
    nothing = {"value": None, "low": None, "high": None, "n": len(labels)}
    if too_small:
        return {**nothing, "reason": too_small}
    try:
        value = metrics.value(metric, labels, scores)
    except NotEvaluable as error:
        return {**nothing, "reason": str(error)}
    try:
        interval = _interval(metric, labels, scores)
    except NotEvaluable:
        return {**nothing, "value": value}
    return {"value": value, "low": interval.low, "high": interval.high, "n": len(labels)}


def _interval(metric: Mapping[str, Any], labels: Floats, scores: Floats) -> statistics.Interval:
    if metric["kind"] == "roc_auc":
        return statistics.auc_interval(labels, scores, INTERVAL_CONFIDENCE)
    return statistics.bootstrap_interval(
        metrics.resampled(metric, labels, scores),
        len(labels),
        seed=_seed("interval", metric["name"]),
        resamples=INTERVAL_RESAMPLES,
        confidence=INTERVAL_CONFIDENCE,
    )


def _slices(policy: Mapping[str, Any], holdout: Holdout, contender: Floats, champion: Champion) -> dict[str, Any]:
    """Every metric by the values of each slice that have enough rows; a metric without a value is null."""

    def measured(metric: Mapping[str, Any], rows: Indices) -> dict[str, float | None]:
        labels, theirs = holdout.labels[rows], champion.scores
        return {
            "contender": _value(metric, labels, contender[rows]),
            "champion": None if theirs is None else _value(metric, labels, theirs[rows]),
        }

    return {
        part["name"]: {
            value: {
                "n": len(rows),
                "metrics": {metric["name"]: measured(metric, rows) for metric in policy["evaluation"]["metrics"]},
            }
            for value, rows in holdout.slices[part["name"]].items()
        }
        for part in policy["evaluation"]["slices"]
    }


def _value(metric: Mapping[str, Any], labels: Floats, scores: Floats) -> float | None:
    try:
        return metrics.value(metric, labels, scores)
    except NotEvaluable:
        return None


def _gates(
    policy: Mapping[str, Any], holdout: Holdout, contender: Floats, champion: Champion, compared: Rows
) -> dict[str, Any]:
    """The comparison of every relative gate; empty where there is no champion."""
    if champion.state == "absent":
        return {}
    known = {metric["name"]: metric for metric in policy["evaluation"]["metrics"]}
    gates = [gate for gate in policy["promotion"]["gates"] if gate["kind"] != "range"]
    if champion.scores is None:
        return {gate["name"]: _unanswered(champion.reason, 0) for gate in gates}
    labels, ours, theirs = holdout.labels[compared], contender[compared], champion.scores[compared]
    too_small = _too_small(policy, labels)
    answers = {}
    for gate in gates:
        try:
            if too_small:
                raise NotEvaluable(f"after both models' training end: {too_small}")
            answers[gate["name"]] = _compare(gate, known[gate["metric"]], labels, ours, theirs)
        except NotEvaluable as error:
            answers[gate["name"]] = _unanswered(str(error), len(labels))
    return answers


def _compare(
    gate: Mapping[str, Any], metric: Mapping[str, Any], labels: Floats, contender: Floats, champion: Floats
) -> dict[str, Any]:
    """The gain (positive: the contender is better) and its one-sided lower bound at the gate's confidence."""
    confidence, sign = float(gate["confidence"]), 1.0 if gate["better"] == "higher" else -1.0
    if metric["kind"] == "roc_auc":
        found = statistics.delong(labels, contender, champion)
        bound = statistics.Bound(statistics.lower_bound(found.gain, found.se, confidence), found.se)
        values, method = (found.contender, found.champion), "delong"
    else:
        values = metrics.value(metric, labels, contender), metrics.value(metric, labels, champion)
        ours, theirs = (metrics.resampled(metric, labels, scores) for scores in (contender, champion))
        bound = statistics.paired_bootstrap(
            lambda rows: sign * (ours(rows) - theirs(rows)),
            len(labels),
            seed=_seed(gate["name"], metric["name"]),
            confidence=confidence,
        )
        method = "paired_bootstrap"
    return {
        "status": "ok",
        "reason": "",
        "contender": values[0],
        "champion": values[1],
        "gain": sign * (values[0] - values[1]),
        "se": bound.se,
        "lower": bound.lower,
        "confidence": confidence,
        "method": method,
        "n": len(labels),
    }


def _unanswered(reason: str, n: int) -> dict[str, Any]:
    numbers = dict.fromkeys(("contender", "champion", "gain", "se", "lower", "confidence", "method"))
    return {"status": "not_evaluable", "reason": reason, **numbers, "n": n}


def _seed(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:8], "big")


def _write(task: Task, evaluation: dict[str, Any], holdout: Holdout, contender: Floats, champion: Champion) -> None:
    for name in ("evaluation", "scores"):
        task.outputs[name].mkdir(parents=True, exist_ok=True)
    (task.outputs["evaluation"] / "evaluation.json").write_bytes(as_json(evaluation))
    scores = [holdout.labels, contender, champion.scores]
    columns = [_column(values, len(holdout.ids)) for values in scores]
    table = pa.Table.from_arrays([holdout.ids, *columns], names=["row_id", "label", "contender", "champion"])
    pq.write_table(table, task.outputs["scores"] / "scores.parquet")


def _column(values: Floats | None, n: int) -> pa.Array:
    if values is None:
        return pa.nulls(n, pa.float64())
    return pa.Array.from_buffers(pa.float64(), n, [None, pa.py_buffer(np.ascontiguousarray(values))])


def _summary(evaluation: Mapping[str, Any]) -> str:
    said = []
    for name, found in evaluation["metrics"].items():
        ours, theirs = found["contender"]["value"], (found["champion"] or {}).get("value")
        against = "" if theirs is None else f" against {theirs:.4f}"
        said.append(f"{name} no value" if ours is None else f"{name} {ours:.4f}{against}")
    return f"{evaluation['rows']} rows: {', '.join(said)}"
