"""The step document: the part of the spec that one step needs, as plain JSON in base units.

Built here and nowhere else, so that every target carries the same bytes. Durations are seconds, sizes bytes, shares
fractions. `ctc/policy` and `ctc/steps` read these sections; neither sees the spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.compiler import watching
from ctc.language.spec import (
    DriftTrigger,
    Gate,
    Label,
    ManualTrigger,
    NewDataTrigger,
    PerformanceTrigger,
    PredictionColumns,
    ScheduleTrigger,
    Source,
    Spec,
    Trigger,
)

VERSION = 1

SECTIONS: dict[str, tuple[str, ...]] = {
    "wake": ("data", "windows", "training", "triggers"),
    "snapshot": ("data", "windows"),
    "validate": ("data", "validation"),
    "evaluate": ("data", "windows", "evaluation", "promotion"),
    "decide": ("promotion",),
    "register": ("registry", "training"),
    "record": (),
}
"""The sections that each of our steps is given."""


def document(spec: Spec, step: str, *, target: str, root: str, spec_digest: str) -> dict[str, Any]:
    """The static document of one of our steps; instant, attempt and paths are added where it runs."""
    sections = {
        "data": _data,
        "windows": _windows,
        "validation": _validation,
        "training": _training,
        "evaluation": _evaluation,
        "promotion": _promotion,
        "triggers": _triggers,
        "registry": _registry,
    }
    return {
        "version": VERSION,
        "step": step,
        "name": spec.model_name,
        "environment": spec.environment,
        "target": target,
        "root": root,
        "spec_digest": spec_digest,
        "gaps": list(spec.gaps_on(target)),
        "policy": {section: sections[section](spec) for section in SECTIONS[step]},
    }


def _data(spec: Spec) -> dict[str, Any]:
    return {
        "task": spec.task,
        "sources": {source.name: _source(source) for source in spec.sources},
        "rows": spec.rows.name,
        "label": None if spec.label is None else _label(spec.label),
        "columns": {"drop": list(spec.columns.drop), "audit": list(spec.columns.audit)},
    }


def _label(label: Label) -> dict[str, Any]:
    return {
        "source": label.source,
        "column": label.column,
        "known_after": label.known_after.total_seconds(),
        "absent": label.absent,
    }


def _source(source: Source) -> dict[str, Any]:
    """Served rows happen when they were answered, and are known by the key that they name."""
    columns = source.columns
    return {
        "role": source.role,
        "parquet": source.path,
        "event_time": source.event_time if columns is None else columns.event_time,
        "known_at": source.known_at,
        "timezone": source.timezone,
        "key": list(source.key) if columns is None else [columns.key],
        "join": None if source.join is None else {"to": source.join.to, "key": list(source.join.key)},
        "columns": None if columns is None else _served_columns(columns),
    }


def _served_columns(columns: PredictionColumns) -> dict[str, str]:
    """What the columns of served rows are called."""
    return {
        "key": columns.key,
        "score": columns.score,
        "model_version": columns.model_version,
        "event_time": columns.event_time,
    }


def _windows(spec: Spec) -> dict[str, Any]:
    retraining = spec.retraining
    return {
        "known_after": 0.0 if spec.label is None else spec.label.known_after.total_seconds(),
        "holdout": None if retraining.holdout.time is None else retraining.holdout.time.total_seconds(),
        "gap": retraining.gap.total_seconds(),
        "window": None if retraining.window is None else retraining.window.total_seconds(),
        "since": retraining.since,
        "validation_share": retraining.validation_share,
        "min_rows": retraining.min_rows,
        "holdout_min_rows": retraining.holdout.min_rows,
        "holdout_min_positives": retraining.holdout.min_positives,
    }


def _validation(spec: Spec) -> dict[str, Any]:
    return {
        "checks": [
            {
                "name": check.name,
                "kind": check.kind,
                "source": check.source,
                "on_fail": check.on_fail,
                "arguments": dict(check.arguments),
            }
            for check in spec.checks
        ]
    }


def _training(spec: Spec) -> dict[str, Any]:
    return {
        "image": spec.training.image,
        "predict": list(fill_hyperparameters(spec.training.predict, spec.training.hyperparameters)),
        "hyperparameters": dict(spec.training.hyperparameters),
        "seed": spec.training.seed,
        "timeout": spec.training.timeout.total_seconds(),
        "retries": spec.training.retries,
    }


def _evaluation(spec: Spec) -> dict[str, Any]:
    return {
        "metrics": [
            {"name": metric.name, "kind": metric.kind, "arguments": dict(metric.arguments), "better": metric.better}
            for metric in spec.evaluation.metrics
        ],
        "slices": [
            {"name": part.name, "column": part.column, "min_rows": part.min_rows} for part in spec.evaluation.slices
        ],
    }


def _promotion(spec: Spec) -> dict[str, Any]:
    better = {metric.name: metric.better for metric in spec.evaluation.metrics}
    return {
        "prefer": spec.promotion.prefer,
        "if_not_evaluable": spec.promotion.if_not_evaluable,
        "gates": [_gate(gate, better.get(gate.metric or "")) for gate in spec.promotion.gates],
    }


def _gate(gate: Gate, better: str | None) -> dict[str, Any]:
    return {
        "name": gate.name,
        "kind": gate.kind,
        "metric": gate.metric,
        "better": better,
        "min": gate.min,
        "max": gate.max,
        "margin": gate.margin,
        "value": gate.value,
        "confidence": gate.confidence,
    }


def _triggers(spec: Spec) -> dict[str, Any]:
    policy = spec.trigger_policy
    return {
        "mode": spec.mode,
        "triggers": [made for trigger in spec.triggers if (made := _trigger(trigger, spec)) is not None],
        "cooldown": policy.cooldown.total_seconds(),
        "max_runs": None
        if policy.max_runs is None
        else {"count": policy.max_runs.count, "per": policy.max_runs.per.total_seconds()},
        "rearm": {"new_rows": policy.rearm.new_rows, "backoff": policy.rearm.backoff.total_seconds()},
        "lease": lease_seconds(spec),
    }


def _trigger(trigger: Trigger, spec: Spec) -> dict[str, Any] | None:
    """None for a kind that this version does not run: it is among the document's `gaps`, and the steps refuse it."""
    common = {"name": trigger.name, "enabled": trigger.enabled, "exempt": trigger.exempt}
    match trigger.spec:
        case ScheduleTrigger(cron, timezone):
            return {**common, "kind": "schedule", "cron": cron, "timezone": timezone}
        case NewDataTrigger(min_rows, settle):
            return {**common, "kind": "new_data", "min_rows": min_rows, "settle": settle.total_seconds()}
        case ManualTrigger():
            return {**common, "kind": "manual"}
        case DriftTrigger() | PerformanceTrigger():
            return {**common, **watching.entry(trigger, spec)}
        case _:
            return None


def _registry(spec: Spec) -> dict[str, Any]:
    return {"model": spec.deployed_name, "keep": spec.promotion.keep}


def fill_hyperparameters(argv: tuple[str, ...], hyperparameters: Mapping[str, object]) -> tuple[str, ...]:
    """Replaces each `{hp.NAME}`; the placeholders of paths stay for the step to fill."""
    words = list(argv)
    for name, value in hyperparameters.items():
        words = [word.replace(f"{{hp.{name}}}", _word(value)) for word in words]
    return tuple(words)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def lease_seconds(spec: Spec) -> float:
    """How long an attempt may hold the lease: every try of training and predicting, and an hour for our own steps."""
    tries = spec.training.retries + 1
    return tries * spec.training.timeout.total_seconds() * 3 + 3600.0
