"""Metrics, slices and gates."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, suggest
from ctc.language.spec import Gate, Metric, Spec

TASKS: dict[str, str] = {
    "roc_auc": "binary",
    "pr_auc": "binary",
    "log_loss": "binary",
    "brier": "binary",
    "accuracy": "binary",
    "mae": "regression",
    "rmse": "regression",
}
"""The task that each kind of metric measures."""

BOUNDED = ("roc_auc", "pr_auc", "brier", "accuracy")
"""Kinds whose values lie within 0 and 1; all others are 0 or more."""


def _metric(spec: Spec, gate: Gate) -> Metric | None:
    """The gate's metric; None where CT241 speaks."""
    return next((metric for metric in spec.evaluation.metrics if metric.name == gate.metric), None)


def _highest(metric: Metric) -> float:
    return 1.0 if metric.kind in BOUNDED else math.inf


@check("CT240", "a promotion without any gate")
def there_is_a_gate(spec: Spec) -> Iterator[Finding]:
    if not spec.promotion.gates:
        advice = "add at least `not_worse: {not_worse: {metric: ..., margin: ...}}`"
        yield Finding("promotion.gates", "without a gate any model would be promoted", advice)


@check("CT241", "a gate on a metric that is not measured")
def gates_name_metrics(spec: Spec) -> Iterator[Finding]:
    names = [metric.name for metric in spec.evaluation.metrics]
    for gate in spec.promotion.gates:
        if gate.metric not in names:
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
        highest = _highest(metric)
        path = f"promotion.gates.{gate.name}.{gate.kind}"
        values = f"{metric.kind} lies between 0 and 1" if highest == 1 else f"{metric.kind} is never below 0"
        if gate.min is not None and gate.min > highest:
            yield Finding(f"{path}.min", f"no model passes: {values}", _percent_help(gate.min))
        elif gate.max is not None and gate.max < 0:
            yield Finding(f"{path}.max", f"no model passes: {values}")
        elif gate.kind == "range" and (gate.min is None or gate.min <= 0) and (gate.max is None or gate.max >= highest):
            place = "min" if gate.min is not None else "max"
            yield Finding(f"{path}.{place}", f"every model passes: {values}", "write a bound that can be missed")
        elif gate.margin is not None and gate.margin >= highest:
            yield Finding(f"{path}.margin", f"every model passes: {values}", _percent_help(gate.margin))
        elif gate.value is not None and gate.value >= highest:
            yield Finding(f"{path}.value", f"no model passes: {values}", _percent_help(gate.value))


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
        if TASKS[metric.kind] != spec.task:
            kinds = ", ".join(kind for kind, task in TASKS.items() if task == spec.task)
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
        elif part.column == spec.label.column:
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
