"""The step `evaluate`: every number that a decision may use, for contender and champion on the same rows.

Metrics and their intervals are of the whole holdout; what compares the two models is of the rows after both models'
training end, of a holdout that no model learns from, of all. The row-level scores are kept, so that a decision can be
judged again by another metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ctc.compiler.bundle import as_json
from ctc.policy.statistics import NotEvaluable
from ctc.policy.windows import Windows, format_instant, parse_instant
from ctc.steps import baselines, comparisons, gains, judged, metrics, predictions, results, timings
from ctc.steps.comparisons import Champion, Models
from ctc.steps.judged import Indices, Judged
from ctc.steps.ports import Services
from ctc.steps.predictions import Floats, Malformed, Predictions
from ctc.steps.task import Result, StepFailed, Task

VERSION = 1

ADDED = {"contender": "score", "champion": "champion_score"}
"""The optional inputs with the columns that `evaluation.score` has added to each model's rows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run(task: Task, services: Services) -> Result:
    """Writes `evaluation` and the row-level `scores`; StepFailed if the contender's predictions are malformed."""
    policy = task.policy
    request = results.request(services.objects, task.attempt)
    rows = judged.read(task.inputs["holdout"], policy, _classes(task))
    compared_after = _compared_after(policy, task.instant, request)
    contender = _contender(task, rows)
    champion = _champion(task, rows)
    after = rows.every
    if compared_after is not None and rows.events is not None:
        after = after[rows.events[after] >= (compared_after - _EPOCH) // timedelta(microseconds=1)]
    models = Models(rows, contender, champion, after, lambda part: _too_small(policy, rows, part))
    has_positives = policy["data"]["task"] == "binary" and len(rows.labels) > 0
    slices, not_judged = _slices(policy, models)
    evaluation = {
        "version": VERSION,
        "rows": len(rows.every),
        "positives": int(rows.positive[rows.every].sum()) if has_positives else None,
        "units": None if rows.unit is None else rows.part(rows.every).n_units,
        "compared_after": None if champion.state == "absent" or not compared_after else format_instant(compared_after),
        "compared_rows": 0 if champion.predictions is None else len(after),
        "champion": champion.state,
        "reused": _reused(request.get("history") or (), rows, fixed=policy["windows"]["holdout"] is None),
        "metrics": _metrics(policy, models),
        "slices": slices,
        "not_judged": not_judged,
        "gates": comparisons.answers(policy, models, _model_bytes(task)) | timings.answers(policy, task.inputs),
    }
    _write(task, evaluation, models)
    if len(contender.scores):
        baselines.keep_predictions(task, services, contender.scores[rows.every])
    return Result("ok", reason=_summary(evaluation), numbers=evaluation)


def _classes(task: Task) -> list[str]:
    """The classes that either model has a score for; none for other tasks."""
    if task.policy["data"]["task"] != "multiclass":
        return []
    found: list[str] = []
    for name in ("contender", "champion"):
        if not predictions.absent(task.inputs[name]):
            try:
                found += predictions.class_names(predictions.names(task.inputs[name]))
            except Malformed:
                # Said where this model's predictions are read, which knows what a broken file means for it.
                continue
    return found


def _contender(task: Task, rows: Judged) -> Predictions:
    found = _read(task, "contender", rows)
    for metric in task.policy["evaluation"]["metrics"]:
        if metric["kind"] in metrics.LABEL_FREE:
            column = metric["arguments"]["column"]
            if column not in found.columns and column not in rows.columns:
                raise StepFailed(
                    f"metric {metric['name']}: there is no column `{column}` of numbers, neither in the predictions "
                    "nor in the snapshot; write it in predict, or name one that is there"
                )
    return found


def _champion(task: Task, rows: Judged) -> Champion:
    """What its own command answered on today's rows; it may no longer be able to read them."""
    if predictions.absent(task.inputs["champion"]):
        return Champion("absent")
    unlike = predictions.not_comparable(task.inputs["champion"])
    if unlike:
        return Champion("not_comparable", reason=unlike)
    try:
        return Champion("evaluated", _read(task, "champion", rows))
    except Malformed as malformed:
        return Champion("not_comparable", reason=f"the champion's predictions: {malformed}")


def _read(task: Task, model: str, rows: Judged) -> Predictions:
    section, kind = task.policy["evaluation"], task.policy["data"]["task"]
    folder, also = task.inputs[model], judged.metric_columns(section)
    if kind == "multiclass" and rows.classes:
        there = {rows.classes[int(label)] for label in np.unique(rows.labels)}
        found = predictions.read_classes(folder, rows.ids, rows.classes, there, also)
    else:
        probabilities = any(metric["kind"] in metrics.PROBABILITIES for metric in section["metrics"])
        labelled = task.policy["data"]["label"] is not None
        found = predictions.read_model(
            folder, rows.ids, kind, also=also, probabilities=probabilities, labelled=labelled
        )
    added = task.inputs.get(ADDED[model])
    if added is None:
        return found
    return Predictions(found.scores, {**found.columns, **predictions.read_added(added, rows.ids, also)})


def _compared_after(policy: Mapping[str, Any], now: datetime, request: Mapping[str, Any]) -> datetime | None:
    """The later training end of the two models: neither has learnt from rows at or after it.

    None for a holdout that no model ever learns from.
    """
    if policy["windows"]["holdout"] is None:
        return None
    own = Windows.at(policy["windows"], now).train_end
    champion = request.get("champion")
    return own if champion is None else max(own, parse_instant(champion["trained_until"]))


def _reused(history: Iterable[Mapping[str, Any]], rows: Judged, *, fixed: bool) -> dict[str, Any]:
    """The share of the rows that earlier attempts were judged on, and how many of these there were.

    Testing again on the same rows is no new evidence.
    """
    ends = [parse_instant(item["labelled_until"]) for item in history if item.get("labelled_until")]
    events = None if rows.events is None else rows.events[rows.every]
    if fixed or events is None or not len(events):
        return {"share": 1.0 if ends else 0.0, "attempts": len(ends)}
    micros = [(end - _EPOCH) // timedelta(microseconds=1) for end in ends]
    first = int(events.min())
    judged_before = events < max(micros, default=first)
    return {"share": float(judged_before.mean()), "attempts": sum(end > first for end in micros)}


def _too_small(policy: Mapping[str, Any], rows: Judged, part: Indices) -> str:
    """Why these rows are too few to judge on; empty if they are not."""
    windows = policy["windows"]
    if len(part) < windows["holdout_min_rows"]:
        return f"{len(part)} rows in the holdout; at least {windows['holdout_min_rows']} are asked for"
    positives = int(rows.positive[part].sum())
    if policy["data"]["task"] == "binary" and positives < windows["holdout_min_positives"]:
        return f"{positives} positive rows in the holdout; at least {windows['holdout_min_positives']} are asked for"
    return ""


def _metrics(policy: Mapping[str, Any], models: Models) -> dict[str, Any]:
    part, small = models.judged.part(models.judged.every), models.too_small(models.judged.every)
    return {
        metric["name"]: {
            "better": metric["better"],
            **{
                name: None
                if model is None
                else comparisons.whole(part, metric, _scores(models.judged, metric, model, part), small)
                for name, model in _pair(models)
            },
        }
        for metric in policy["evaluation"]["metrics"]
    }


def _pair(models: Models) -> tuple[tuple[str, Predictions | None], ...]:
    return ("contender", models.contender), ("champion", models.champion.predictions)


def _scores(rows: Judged, metric: Mapping[str, Any], model: Predictions, part: judged.Part) -> Any:
    return lambda: rows.scores(metric, model, part)


def _slices(policy: Mapping[str, Any], models: Models) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every metric by the values of each slice that have enough rows, and why the other values are not judged.

    A metric without a value is null.
    """
    found, small = {}, {}
    for section in policy["evaluation"]["slices"]:
        parts, reasons, _ = models.judged.slices[section["name"]].parts(models.judged.every, models.judged.positive)
        found[section["name"]] = {
            value: {
                "n": len(rows),
                "metrics": {
                    metric["name"]: {name: _value(models.judged, metric, model, rows) for name, model in _pair(models)}
                    for metric in policy["evaluation"]["metrics"]
                },
            }
            for value, rows in parts.items()
        }
        if reasons:
            small[section["name"]] = reasons
    return found, small


def _value(rows: Judged, metric: Mapping[str, Any], model: Predictions | None, chosen: Indices) -> float | None:
    if model is None:
        return None
    part = rows.part(chosen)
    try:
        return gains.measured(metric, part, rows.scores(metric, model, part))
    except NotEvaluable:
        return None


def _model_bytes(task: Task) -> int | None:
    """The sizes of all files of the model's folder; None where the step is not given it."""
    folder: Path | None = task.inputs.get("model")
    return None if folder is None else sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _write(task: Task, evaluation: dict[str, Any], models: Models) -> None:
    for name in ("evaluation", "scores"):
        task.outputs[name].mkdir(parents=True, exist_ok=True)
    (task.outputs["evaluation"] / "evaluation.json").write_bytes(as_json(evaluation))
    pq.write_table(_scores_table(models), task.outputs["scores"] / "scores.parquet")


def _scores_table(models: Models) -> pa.Table:
    """`row_id`, `event_time`, `unit`, `group`, `label`, and by model the scores, the classes', and the columns.

    With rows of fixed sources beside the holdout also `part`, the name of theirs.
    """
    rows, n = models.judged, models.judged.n
    columns: dict[str, Any] = {"row_id": rows.ids, "event_time": _instants(rows)}
    for name, texts in (("unit", rows.unit), ("group", rows.group)):
        columns[name] = pa.nulls(n, pa.string()) if texts is None else texts.values
    if rows.fixed:
        columns["part"] = _part_names(rows)
    if rows.classes:
        columns["label"] = pa.array(list(rows.classes)).take(pa.array(rows.labels.astype(np.int64)))
    else:
        columns["label"] = _column(rows.labels if len(rows.labels) else None, n)
    for name, model in _pair(models):
        if rows.classes:
            for index, label in enumerate(rows.classes):
                columns[f"{name}_{label}"] = _column(None if model is None else model.scores[:, index], n)
        else:
            columns[name] = _column(model.scores if model is not None and len(model.scores) else None, n)
        read = {} if model is None else model.columns
        scored = {f"{predictions.CLASS}{label}" for label in rows.classes}
        for column, values in read.items():
            if model is not None and values is not model.scores and column not in scored:
                columns[f"{name}_{column}"] = _column(values, n)
    return pa.table(columns)


def _part_names(rows: Judged) -> pa.Array:
    """The fixed source of each row, null for those of the holdout."""
    names: list[str | None] = [None] * rows.n
    for name, own in rows.fixed.items():
        if own is not rows.every:
            for row in own.tolist():
                names[row] = name
    return pa.array(names, pa.string())


def _instants(rows: Judged) -> pa.Array:
    if rows.events is None:
        return pa.nulls(rows.n, pa.timestamp("us", "UTC"))
    return pa.array(rows.events).cast(pa.timestamp("us", "UTC"))


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
