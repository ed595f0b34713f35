"""The entries of the triggers that watch live rows, in the section `triggers` of the wake's document."""

from __future__ import annotations

from typing import Any

from ctc.language.spec import DriftTrigger, PerformanceTrigger, Spec, Trigger
from ctc.language.units import share


def entry(trigger: Trigger, spec: Spec) -> dict[str, Any]:
    """What a `drift` or `performance` trigger is judged by. ValueError for another kind."""
    match trigger.spec:
        case DriftTrigger() as drift:
            return {"kind": "drift", **_live(trigger, spec), **_drift(drift, spec)}
        case PerformanceTrigger() as performance:
            return {"kind": "performance", **_live(trigger, spec), **_performance(performance, spec)}
        case other:
            raise ValueError(f"{type(other).__name__} watches nothing")


def _live(trigger: Trigger, spec: Spec) -> dict[str, Any]:
    """What the triggers share that watch live rows: how often they look, for how long, and what they wait for."""
    return {
        "every": spec.trigger_policy.wake_every.total_seconds(),
        "known_after": 0.0 if spec.label is None else spec.label.known_after.total_seconds(),
        "sustained": None if trigger.sustained is None else trigger.sustained.total_seconds(),
        "wait_for": trigger.wait_for,
    }


def _drift(drift: DriftTrigger, spec: Spec) -> dict[str, Any]:
    alarms = drift.false_alarms
    return {
        "source": drift.source or spec.rows.name,
        "columns": list(drift.columns),
        "method": drift.method,
        "max": drift.max,
        "false_alarms": None if alarms is None else {"max": alarms.max, "per": alarms.per.total_seconds()},
        "window": drift.window.total_seconds(),
        "baseline": drift.baseline,
        "require": drift.require if drift.require in ("any", "all") else share(drift.require),
        "min_rows": drift.min_rows,
    }


def _performance(performance: PerformanceTrigger, spec: Spec) -> dict[str, Any]:
    metric = next(metric for metric in spec.evaluation.metrics if metric.name == performance.metric)
    return {
        "metric": {
            "name": metric.name,
            "kind": metric.kind,
            "arguments": dict(metric.arguments),
            "better": metric.better,
        },
        "min": performance.min,
        "max": performance.max,
        "drop": performance.drop,
        "window": performance.window.total_seconds(),
        "min_rows": performance.min_rows,
    }
