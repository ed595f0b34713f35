"""The step `evaluate`: every number that a decision may use, for contender and champion on the same rows.

Metrics and their intervals are of the whole holdout; what compares the two models is of the rows after both models'
training end. Resampling is seeded by the names of gate and metric and works on rows in the order of `row_id`, so that
the same predictions give the same bits on every engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ctc.compiler.bundle import as_json
from ctc.policy import statistics
from ctc.policy.statistics import NotEvaluable
from ctc.policy.windows import Windows, format_instant, parse_instant
from ctc.steps import metrics, predictions, results
from ctc.steps.ports import Services
from ctc.steps.predictions import Floats, Malformed
from ctc.steps.task import Result, StepFailed, Task

VERSION = 1
INTERVAL_CONFIDENCE = 0.95
INTERVAL_RESAMPLES = 1000

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Holdout:
    """The judged rows, in the order of `row_id`. `labels` are 0 and 1 for a binary task."""

    ids: tuple[str, ...]
    events: tuple[datetime, ...]
    labels: Floats
    slices: Mapping[str, tuple[str, ...]]


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
    contender = predictions.read(task.inputs["contender"], holdout.ids, kind)
    champion = _champion(task, holdout, kind)
    compared_after = _compared_after(task, services)
    compared = np.array([event >= compared_after for event in holdout.events], dtype=np.bool_)
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
    return Result("ok", reason=_summary(evaluation), numbers=evaluation)


def _read_holdout(task: Task) -> Holdout:
    label = task.policy["data"]["label"]["column"]
    slices = {part["name"]: part["column"] for part in task.policy["evaluation"]["slices"]}
    file = task.inputs["holdout"] / "data.parquet"
    known = pq.read_schema(file).names
    for name, column in slices.items():
        if column not in known:
            raise StepFailed(f"slice {name}: the snapshot has no column `{column}`; it has: {', '.join(known)}")
    columns = dict.fromkeys(["row_id", "event_time", label, *slices.values()])
    table = pq.read_table(file, columns=list(columns)).sort_by("row_id")
    ids = tuple(str(value) for value in table["row_id"].to_pylist())
    if len(set(ids)) != len(ids):
        raise StepFailed(
            f"{len(ids) - len(set(ids))} rows of the holdout repeat their key, so predictions cannot be told apart; "
            "name the columns that identify a row as `key`, and add a `unique` check"
        )
    return Holdout(
        ids,
        tuple(value.astimezone(UTC) for value in table["event_time"].to_pylist()),
        np.array([float(value) for value in table[label].to_pylist()], dtype=np.float64),
        {name: tuple(str(value) for value in table[column].to_pylist()) for name, column in slices.items()},
    )


def _champion(task: Task, holdout: Holdout, kind: str) -> Champion:
    """What its own command answered on today's rows; it may no longer be able to read them."""
    folder = task.inputs["champion"]
    if predictions.absent(folder):
        return Champion("absent")
    try:
        return Champion("evaluated", predictions.read(folder, holdout.ids, kind))
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
    found: dict[str, Any] = {}
    for part in policy["evaluation"]["slices"]:
        values = np.array(holdout.slices[part["name"]], dtype=object)
        found[part["name"]] = {}
        for value in sorted(set(holdout.slices[part["name"]])):
            chosen: Rows = values == value
            if int(chosen.sum()) >= part["min_rows"]:
                found[part["name"]][value] = {
                    "n": int(chosen.sum()),
                    "metrics": {
                        metric["name"]: {
                            "contender": _value(metric, holdout.labels[chosen], contender[chosen]),
                            "champion": None
                            if champion.scores is None
                            else _value(metric, holdout.labels[chosen], champion.scores[chosen]),
                        }
                        for metric in policy["evaluation"]["metrics"]
                    },
                }
    return found


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
    none = pa.nulls(len(holdout.ids), pa.float64())
    columns = {
        "row_id": list(holdout.ids),
        "label": holdout.labels,
        "contender": contender,
        "champion": none if champion.scores is None else champion.scores,
    }
    pq.write_table(pa.table(columns), task.outputs["scores"] / "scores.parquet")


def _summary(evaluation: Mapping[str, Any]) -> str:
    said = []
    for name, found in evaluation["metrics"].items():
        ours, theirs = found["contender"]["value"], (found["champion"] or {}).get("value")
        against = "" if theirs is None else f" against {theirs:.4f}"
        said.append(f"{name} no value" if ours is None else f"{name} {ours:.4f}{against}")
    return f"{evaluation['rows']} rows: {', '.join(said)}"
