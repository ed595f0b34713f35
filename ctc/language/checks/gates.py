"""Metrics, slices and gates."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, suggest
from ctc.language.spec import Gate, Metric, Spec

_CLASSES = ("binary", "multiclass")
_NUMBERS = ("regression", "forecast")
_ANY = ("binary", "multiclass", "regression", "ranking", "forecast")

TASKS: dict[str, tuple[str, ...]] = {
    "roc_auc": ("binary",),
    "pr_auc": ("binary",),
    "log_loss": _CLASSES,
    "brier": ("binary",),
    "accuracy": _CLASSES,
    "balanced_accuracy": _CLASSES,
    "f1": _CLASSES,
    "precision": ("binary",),
    "recall": ("binary",),
    "precision_at_k": ("binary", "ranking"),
    "recall_at_k": ("binary", "ranking"),
    "precision_at_fpr": ("binary",),
    "recall_at_fpr": ("binary",),
    "mae": _NUMBERS,
    "rmse": _NUMBERS,
    "mape": _NUMBERS,
    "r2": _NUMBERS,
    "pinball": _NUMBERS,
    "ndcg": ("ranking",),
    "mean": _ANY,
    "share": _ANY,
}
"""The tasks that each kind of metric measures."""

LABEL_FREE = ("mean", "share")
"""Kinds that need no label."""

LOWEST = {**dict.fromkeys(TASKS, 0.0), "mean": -math.inf, "r2": -math.inf}
HIGHEST = {
    **dict.fromkeys(TASKS, 1.0),
    **dict.fromkeys(("log_loss", "mae", "rmse", "mape", "pinball", "mean"), math.inf),
}
"""The values that each kind of metric can take."""


def _metric(spec: Spec, gate: Gate) -> Metric | None:
    """The gate's metric; None where CT241 speaks."""
    return next((metric for metric in spec.evaluation.metrics if metric.name == gate.metric), None)


@check("CT240", "a promotion without any gate")
def there_is_a_gate(spec: Spec) -> Iterator[Finding]:
    if not spec.promotion.gates:
        advice = "add at least `not_worse: {not_worse: {metric: ..., margin: ...}}`"
        yield Finding("promotion.gates", "without a gate any model would be promoted", advice)


@check("CT241", "a gate on a metric that is not measured")
def gates_name_metrics(spec: Spec) -> Iterator[Finding]:
    names = [metric.name for metric in spec.evaluation.metrics]
    for gate in spec.promotion.gates:
        if gate.metric is not None and gate.metric not in names:
            yield Finding(
                f"promotion.gates.{gate.name}.{gate.kind}.metric",
                f"there is no metric `{gate.metric}`",
                suggest(gate.metric, names),
                ("evaluation.metrics", "metrics are defined here"),
            )


@check("CT242", "a margin or a gain below 0")
def margins_are_not_negative(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        path = f"promotion.gates.{gate.name}.{gate.kind}"
        if gate.margin is not None and gate.margin < 0:
            advice = "write how much worse it may be, as 0 or more; to ask for a gain use `min_gain`"
            yield Finding(f"{path}.margin", "a margin below 0 asks for a gain", advice)
        if gate.value is not None and gate.value < 0:
            advice = "write 0 or more; to allow a loss use `not_worse` with a margin"
            yield Finding(f"{path}.value", "a gain below 0 allows a loss", advice)


@check("CT243", "a range gate whose `min` is above its `max`")
def gate_ranges_are_not_empty(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        if gate.min is not None and gate.max is not None and gate.min > gate.max:
            path = f"promotion.gates.{gate.name}.range"
            message = f"no model passes: min {gate.min:g} is above max {gate.max:g}"
            yield Finding(f"{path}.min", message, related=(f"{path}.max", "max"))


@check("CT244", "a gate that no model can pass, or that every model passes")
def gates_can_go_both_ways(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        metric = _metric(spec, gate)
        if metric is None or (gate.min is not None and gate.max is not None and gate.min > gate.max):
            continue
        lowest, highest = LOWEST[metric.kind], HIGHEST[metric.kind]
        path = f"promotion.gates.{gate.name}.{gate.kind}"
        values = f"{metric.kind} {_span(lowest, highest)}"
        width = highest - lowest
        if gate.min is not None and gate.min > highest:
            yield Finding(f"{path}.min", f"no model passes: {values}", _percent_help(gate.min))
        elif gate.max is not None and gate.max < lowest:
            yield Finding(f"{path}.max", f"no model passes: {values}")
        elif gate.kind == "range" and _holds_all(gate, lowest, highest):
            place = "min" if gate.min is not None else "max"
            yield Finding(f"{path}.{place}", f"every model passes: {values}", "write a bound that can be missed")
        elif gate.margin is not None and not gate.relative and gate.margin >= width:
            yield Finding(f"{path}.margin", f"every model passes: {values}", _percent_help(gate.margin))
        elif gate.value is not None and gate.value >= width:
            yield Finding(f"{path}.value", f"no model passes: {values}", _percent_help(gate.value))


def _span(lowest: float, highest: float) -> str:
    if math.isinf(highest):
        return "is never below 0" if lowest == 0 else "can take any value"
    return "is never above 1" if math.isinf(lowest) else "lies between 0 and 1"


def _holds_all(gate: Gate, lowest: float, highest: float) -> bool:
    return (gate.min is None or gate.min <= lowest) and (gate.max is None or gate.max >= highest)


def _percent_help(value: float) -> str:
    return f"write {value / 100:g} for {value:g} percent" if 1 < value <= 100 else ""


@check("CT245", "a confidence that is no better than a coin, or never reached")
def confidences_are_sensible(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        if not 0.5 < gate.confidence < 1:
            yield Finding(
                f"promotion.gates.{gate.name}.{gate.kind}.confidence",
                "a one-sided confidence lies above 50% and below 100%",
                "97.5% is usual, 95% is lenient",
            )


@check("CT246", "a metric of another task")
def metrics_fit_the_task(spec: Spec) -> Iterator[Finding]:
    for metric in spec.evaluation.metrics:
        if spec.task not in TASKS[metric.kind]:
            kinds = ", ".join(kind for kind, tasks in TASKS.items() if spec.task in tasks)
            yield Finding(
                f"evaluation.metrics.{metric.name}.{metric.kind}",
                f"`{metric.kind}` does not measure a {spec.task} task",
                f"for {spec.task} there are: {kinds}",
                ("task", "the task"),
            )


@check("CT247", "a slice by a column that evaluation does not see, or by the label")
def slices_have_their_column(spec: Spec) -> Iterator[Finding]:
    for part in spec.evaluation.slices:
        path = f"evaluation.slices.{part.name}.column"
        if part.column in spec.columns.drop:
            related = (f"columns.drop.{spec.columns.drop.index(part.column)}", "dropped here")
            yield Finding(path, f"`{part.column}` is dropped", "list it under `columns.audit` instead", related)
        elif spec.label is not None and part.column == spec.label.column:
            yield Finding(path, "a slice by the label measures nothing", "slice by a column that is known beforehand")


@check("CT248", "a promotion that never looks at the champion", Severity.WARNING)
def the_champion_is_compared(spec: Spec) -> Iterator[Finding]:
    if spec.promotion.gates and all(gate.kind == "range" for gate in spec.promotion.gates):
        message = "no gate compares with the champion: any model in range replaces a better one"
        yield Finding("promotion.gates", message, "add `not_worse: {not_worse: {metric: ..., margin: ...}}`")


@check("CT249", "a count of positives where there are none")
def positives_need_classes(spec: Spec) -> Iterator[Finding]:
    if spec.task == "regression" and spec.retraining.holdout.min_positives:
        message = "a regression has no positive labels"
        yield Finding("retraining.holdout.min_positives", message, "remove it", ("task", "the task"))
