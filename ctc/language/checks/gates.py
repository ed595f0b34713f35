"""What a metric can be, and the gates that promotion puts before a model."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ctc.diagnostics import Severity
from ctc.language import comparison
from ctc.language.checks import Finding, check, suggest
from ctc.language.spec import Gate, Metric, Spec
from ctc.language.typed import HIGHER_IS_BETTER

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

RELATIVE = ("not_worse", "min_gain", "forgetting")
"""The kinds of gate that compare with the champion."""

_SMALLEST_MODEL = 1000
"""Bytes: an empty archive with its headers is not much smaller."""

_NOT_FIXED = {
    "rows": "is what models learn from, and its rows change",
    "predictions": "holds what was served, which every champion changes",
}


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


@check("CT243", "a gate whose bounds are the wrong way round")
def gate_bounds_are_in_order(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        path = f"promotion.gates.{gate.name}.{gate.kind}"
        if gate.min is not None and gate.max is not None and gate.min > gate.max:
            message = f"no model passes: min {gate.min:g} is above max {gate.max:g}"
            yield Finding(f"{path}.min", message, related=(f"{path}.max", "max"))
        if gate.p50 is not None and gate.p99 is not None and gate.p50 > gate.p99:
            yield Finding(
                f"{path}.p50",
                f"half of the answers may take {1000 * gate.p50:g}ms, but 99 of 100 no more than {1000 * gate.p99:g}ms",
                "`p50` is the lower of the two",
                (f"{path}.p99", "99 of 100"),
            )


@check("CT244", "a gate that no model can pass, or that every model passes")
def gates_can_go_both_ways(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        metric = _metric(spec, gate)
        if metric is None or (gate.min is not None and gate.max is not None and gate.min > gate.max):
            continue
        path = f"promotion.gates.{gate.name}.{gate.kind}"
        if gate.kind == "parity":
            yield from _parity_can_go_both_ways(gate, path)
            continue
        if gate.relative:
            yield from _relative_margin_can_be_missed(gate, metric, path)
            continue
        lowest, highest = _values(metric)
        values = f"{metric.kind} {_span(lowest, highest)}"
        width = highest - lowest
        if gate.min is not None and gate.min > highest:
            yield Finding(f"{path}.min", f"no model passes: {values}", _percent_help(gate.min))
        elif gate.max is not None and gate.max < lowest:
            yield Finding(f"{path}.max", f"no model passes: {values}", "is a sign or a metric mixed up?")
        elif gate.kind == "range" and _holds_all(gate, lowest, highest):
            place = "min" if gate.min is not None else "max"
            yield Finding(f"{path}.{place}", f"every model passes: {values}", "write a bound that can be missed")
        elif gate.margin is not None and gate.margin >= width:
            advice = _percent_help(gate.margin) or "write how much worse it may be, such as 0.01"
            yield Finding(f"{path}.margin", f"every model passes: {values}", advice)
        elif gate.value is not None and gate.value >= width:
            yield Finding(f"{path}.value", f"no model passes: {values}", _percent_help(gate.value))


def _parity_can_go_both_ways(gate: Gate, path: str) -> Iterator[Finding]:
    if gate.min_ratio == 0:
        yield Finding(f"{path}.min_ratio", "every model passes: a ratio is never below 0", "80% is a usual bound")
    elif gate.min_ratio == 1:
        message = "no model passes: two slices are never exactly alike"
        yield Finding(f"{path}.min_ratio", message, "80% is a usual bound")


def _relative_margin_can_be_missed(gate: Gate, metric: Metric, path: str) -> Iterator[Finding]:
    # A loss may grow without end; what cannot fall below 0 is gone after 100 %.
    if gate.margin is not None and gate.margin >= 1 and direction_of(metric) == "higher" and LOWEST[metric.kind] == 0:
        message = f"every model passes: {metric.kind} cannot lose more than all of the champion's value"
        yield Finding(f"{path}.margin.relative", message, "write a share such as 5%")


def direction_of(metric: Metric) -> str:
    """That of its kind, whatever `better` says beside it: where the two differ CT251 speaks."""
    higher = HIGHER_IS_BETTER[metric.kind]
    return metric.better if higher is None else "higher" if higher else "lower"


def _values(metric: Metric) -> tuple[float, float]:
    return LOWEST[metric.kind], HIGHEST[metric.kind]


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


@check("CT248", "a promotion that never looks at the champion", Severity.WARNING)
def the_champion_is_compared(spec: Spec) -> Iterator[Finding]:
    gates = spec.promotion.gates
    # `prefer: champion` compares by itself; without any better and worse there is nothing to compare.
    comparable = any(metric.better != "neither" for metric in spec.evaluation.metrics)
    if not gates or not comparable or spec.promotion.prefer == "champion":
        return
    if not any(gate.kind in RELATIVE or _looks_at_champion(gate) for gate in gates):
        message = "no gate compares with the champion: any model that passes replaces a better one"
        yield Finding("promotion.gates", message, "add `not_worse: {not_worse: {metric: ..., margin: ...}}`")


def _looks_at_champion(gate: Gate) -> bool:
    """Whether an expression does; what is none is CT426's."""
    return gate.that is not None and (comparison.problem(gate.that) != "" or comparison.names_champion(gate.that))


@check("CT257", "a comparison by a metric that has no better and worse")
def compared_metrics_have_a_direction(spec: Spec) -> Iterator[Finding]:
    # Parity is the ratio of the lowest slice to the highest: it needs no direction.
    for gate in spec.promotion.gates:
        metric = _metric(spec, gate)
        if gate.kind in RELATIVE and metric is not None and metric.better == "neither":
            yield Finding(
                f"promotion.gates.{gate.name}.{gate.kind}.metric",
                f"nothing says which way `{metric.name}` improves, so no model is worse or better by it",
                f"add `better: higher` or `better: lower` beside `{metric.kind}`, or bound it with `range`",
                (f"evaluation.metrics.{metric.name}", "the metric"),
            )


@check("CT258", "a range that stops models for being too good", Severity.WARNING)
def bounds_face_the_worse_side(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        metric = _metric(spec, gate)
        direction = None if metric is None else direction_of(metric)
        if gate.kind != "range" or metric is None or direction == "neither":
            continue
        given, missing = ("max", "min") if direction == "higher" else ("min", "max")
        bound = getattr(gate, given)
        # A range that all or none pass is CT244's.
        if bound is None or getattr(gate, missing) is not None or _holds_all(gate, *_values(metric)):
            continue
        if LOWEST[metric.kind] <= bound <= HIGHEST[metric.kind]:
            yield Finding(
                f"promotion.gates.{gate.name}.range.{given}",
                f"{direction} is better for {metric.kind}, so `{given}: {bound:g}` stops only the good models",
                f"write `{missing}: {bound:g}`, or also a `{missing}` if too good is to be stopped as suspicious",
            )


@check("CT259", "a gate by a slice that there is not")
def gates_name_slices(spec: Spec) -> Iterator[Finding]:
    names = [part.name for part in spec.evaluation.slices]
    for gate in spec.promotion.gates:
        if gate.by is None or gate.by in names:
            continue
        by_column = [part.name for part in spec.evaluation.slices if part.column == gate.by]
        advice = f"`{gate.by}` is the column of the slice `{by_column[0]}`" if by_column else suggest(gate.by, names)
        if not names:
            advice = f"add `slices: {{{gate.by}: {{column: {gate.by}}}}}` to `evaluation`"
        yield Finding(
            f"promotion.gates.{gate.name}.{gate.kind}.by",
            f"there is no slice `{gate.by}`",
            advice,
            ("evaluation.slices", "slices are defined here") if names else None,
        )


@check("CT426", "an expression gate that compares no metrics")
def expressions_compare_metrics(spec: Spec) -> Iterator[Finding]:
    known = [metric.name for metric in spec.evaluation.metrics]
    for gate in spec.promotion.gates:
        if gate.that is None:
            continue
        path = f"promotion.gates.{gate.name}.expression.that"
        problem = comparison.problem(gate.that)
        if problem:
            yield Finding(path, f"`{gate.that}`: {problem}", "write such as `recall >= champion.recall - 0.01`")
            continue
        for name in comparison.metrics_of(gate.that):
            if name not in known:
                message = f"there is no metric `{name}`"
                yield Finding(path, message, suggest(name, known), ("evaluation.metrics", "metrics are defined here"))


@check("CT421", "a gate that another one already implies", Severity.WARNING)
def gates_add_something(spec: Spec) -> Iterator[Finding]:
    gates = [
        gate for gate in spec.promotion.gates if gate.kind in ("not_worse", "min_gain") and _is_passable(spec, gate)
    ]
    seen: set[str] = set()
    for weak in gates:
        for strong in gates:
            if strong is weak or strong.name in seen or not _implies(strong, weak):
                continue
            seen.add(weak.name)
            yield Finding(
                f"promotion.gates.{weak.name}",
                f"a model that passes `{strong.name}` always passes `{weak.name}`",
                f"remove `{weak.name}`, or make it stricter",
                (f"promotion.gates.{strong.name}", "the stricter gate"),
            )
            break


def _is_passable(spec: Spec, gate: Gate) -> bool:
    """Whether some models pass it and some do not; else CT241, CT242, CT244 or CT257 speaks."""
    metric = _metric(spec, gate)
    if metric is None or metric.better == "neither":
        return False
    lowest, highest = _values(metric)
    return gate.relative or 0 <= (gate.margin or gate.value or 0.0) < highest - lowest


def _implies(strong: Gate, weak: Gate) -> bool:
    """Whether the bound of the one, on the same metric and the same rows, lies above that of the other."""
    if (strong.metric, strong.by) != (weak.metric, weak.by) or strong.confidence < weak.confidence:
        return False
    if strong.kind == "min_gain":
        line = strong.value or 0.0
        return line >= (weak.value or 0.0) if weak.kind == "min_gain" else (weak.margin or 0.0) >= 0
    return weak.kind == "not_worse" and strong.relative == weak.relative and (strong.margin or 0) <= (weak.margin or 0)


@check("CT423", "a limit on the model's size that says nothing", Severity.WARNING)
def sizes_are_sizes(spec: Spec) -> Iterator[Finding]:
    disk = spec.training.resources.disk
    for gate in spec.promotion.gates:
        if gate.kind != "model_size" or gate.max is None:
            continue
        path = f"promotion.gates.{gate.name}.model_size.max"
        if gate.max < _SMALLEST_MODEL:
            message = f"hardly any model has no more than {gate.max:.0f} bytes"
            yield Finding(path, message, f"a number without a unit is bytes; did you mean {gate.max:.0f}MB?")
        elif gate.max > disk:
            yield Finding(
                path,
                f"every model passes: the disk of `training.resources` holds {disk / 2**30:.3g}Gi",
                "write what serving can bear, such as 200MB",
            )


@check("CT424", "a check for forgetting on rows that are not kept apart")
def old_patterns_have_their_source(spec: Spec) -> Iterator[Finding]:
    roles = {source.name: source.role for source in spec.sources}
    for gate in spec.promotion.gates:
        if gate.source is None:
            continue
        path = f"promotion.gates.{gate.name}.forgetting.source"
        if gate.source not in roles:
            yield Finding(path, f"there is no source `{gate.source}`", suggest(gate.source, roles))
        elif roles[gate.source] in _NOT_FIXED:
            yield Finding(
                path,
                f"`{gate.source}` {_NOT_FIXED[roles[gate.source]]}",
                "name a source of rows that never change and that no model learns from",
                (f"sources.{gate.source}.role", "its role"),
            )
