"""The step document: the part of the spec that one step needs, as plain JSON in base units.

Built here and nowhere else, so that every target carries the same bytes. Durations are seconds, sizes bytes, shares
fractions. `ctc/policy` and `ctc/steps` read these sections; neither sees the spec.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ctc.compiler import notifications
from ctc.compiler.bundle import canonical
from ctc.language.spec import (
    NO_TIME,
    Approval,
    Csv,
    EventTrigger,
    Forecast,
    Gate,
    Holdout,
    Label,
    ManualTrigger,
    NewDataTrigger,
    PredictionColumns,
    ScheduleTrigger,
    Source,
    Spec,
    Trigger,
)

if TYPE_CHECKING:
    from ctc.language.spec.serving import Cost, LiveLimit, Rollout, RolloutStep
    from ctc.language.units import Money

VERSION = 1

SECTIONS: dict[str, tuple[str, ...]] = {
    "wake": ("data", "windows", "training", "triggers", "notifications"),
    "snapshot": ("data", "windows"),
    "validate": ("data", "validation"),
    "evaluate": ("data", "windows", "evaluation", "promotion"),
    "decide": ("promotion",),
    "register": ("registry", "training"),
    "record": ("promotion",),
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
        "notifications": notifications.section,
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
        "ranking": None if spec.ranking is None else {"group": spec.ranking.group},
        "forecast": None if spec.forecast is None else _forecast(spec.forecast),
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


def _forecast(forecast: Forecast) -> dict[str, Any]:
    return {
        "series": list(forecast.series),
        "every": forecast.every.total_seconds(),
        "horizon": forecast.horizon.total_seconds(),
        "season": None if forecast.season is None else forecast.season.total_seconds(),
    }


def _source(source: Source) -> dict[str, Any]:
    """`event_time` is None where the data has no time; that of served rows is the one among their `columns`."""
    served = None if source.columns is None else source.columns.event_time
    return {
        "role": source.role,
        "parquet": None if source.parquet is None else source.parquet.path,
        "csv": None if source.csv is None else _csv(source.csv),
        "event_time": None if source.event_time == NO_TIME else source.event_time or served,
        "known_at": source.known_at,
        "timezone": source.timezone,
        "key": list(source.key),
        "keep": [{"name": item.name, "kind": item.kind, "arguments": dict(item.arguments)} for item in source.keep],
        "join": None if source.join is None else {"to": source.join.to, "key": list(source.join.key)},
        "columns": None if source.columns is None else _served_columns(source.columns),
    }


def _csv(files: Csv) -> dict[str, Any]:
    return {"path": files.path, "delimiter": files.delimiter, "columns": dict(files.columns)}


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
        **_holdout(retraining.holdout),
        "gap": retraining.gap.total_seconds(),
        "window": None if retraining.window is None else retraining.window.total_seconds(),
        "since": retraining.since,
        "validation_share": retraining.validation_share,
        "min_rows": retraining.min_rows,
        "holdout_min_rows": retraining.holdout.min_rows,
        "holdout_min_positives": retraining.holdout.min_positives,
    }


def _holdout(holdout: Holdout) -> dict[str, Any]:
    """`holdout_kind` says which of time (`holdout`, seconds), hash, column and source is set."""
    by_hash, by_column = holdout.hash, holdout.column
    kinds = {"time": holdout.time, "hash": by_hash, "column": by_column, "source": holdout.source}
    return {
        "holdout": None if holdout.time is None else holdout.time.total_seconds(),
        "holdout_kind": next(kind for kind, value in kinds.items() if value is not None),
        "hash": None if by_hash is None else {"key": list(by_hash.key), "share": by_hash.share, "salt": by_hash.salt},
        "column": None if by_column is None else {"name": by_column.name, "value": by_column.value},
        "source": holdout.source,
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
    policy, promotion, cost = spec.trigger_policy, spec.promotion, spec.cost
    return {
        "mode": spec.mode,
        "model": spec.deployed_name,
        "keep": promotion.keep,
        "triggers": [made for trigger in spec.triggers if (made := _trigger(trigger)) is not None],
        "cooldown": policy.cooldown.total_seconds(),
        "max_runs": None
        if policy.max_runs is None
        else {"count": policy.max_runs.count, "per": policy.max_runs.per.total_seconds()},
        "rearm": {"new_rows": policy.rearm.new_rows, "backoff": policy.rearm.backoff.total_seconds()},
        "lease": lease_seconds(spec),
        "resume_rows": policy.resume,
        "staleness": None if policy.staleness is None else policy.staleness.total_seconds(),
        "on_deploy": spec.retraining.on_deploy,
        "training": training_digest(spec),
        "approval": None if promotion.approval is None else _approval(promotion.approval),
        "first": None if promotion.first is None else _approval(promotion.first),
        "rollout": None if spec.rollout is None else _rollout(spec, spec.rollout),
        "budget": None
        if cost is None
        else {
            "per_run": _amount(cost.max_per_run),
            "per_month": _amount(cost.max_per_month),
            "currency": cost.currency,
        },
        "remember": 0.0 if promotion.false_promotions is None else promotion.false_promotions.per.total_seconds(),
    }


def training_digest(spec: Spec) -> str:
    """sha256 of the training section, code left out: that is the image's, or lies beside the spec."""
    return hashlib.sha256(canonical(spec.training, plain)).hexdigest()


def _approval(approval: Approval) -> dict[str, Any]:
    return {
        "any_of": list(approval.any_of),
        "all_of": list(approval.all_of),
        "expires": approval.expires.total_seconds(),
    }


def _rollout(spec: Spec, rollout: Rollout) -> dict[str, Any]:
    online = [serving.name for serving in spec.serving if serving.online is not None]
    return {
        "serving": rollout.serving or (online[0] if online else ""),
        "steps": [_rollout_step(step) for step in rollout.steps],
        "limits": [_limit(limit) for limit in rollout.limits],
        "keep_previous": rollout.keep_previous.total_seconds(),
    }


def _rollout_step(step: RolloutStep) -> dict[str, Any]:
    if step.smoke is not None:
        return {"kind": "smoke", "request": step.smoke.request, "status": step.smoke.status}
    if step.approval is not None:
        return {"kind": "approval", "rule": _approval(step.approval)}
    return {
        "kind": "mirror" if step.traffic is None else "traffic",
        "share": step.mirror if step.traffic is None else step.traffic,
        "for": step.duration.total_seconds(),
        "by": step.by,
        "gates": [_limit(gate) for gate in step.gates],
    }


def _limit(limit: LiveLimit) -> dict[str, Any]:
    return {"name": limit.name, "kind": limit.kind, "arguments": dict(limit.arguments)}


def _budget(cost: Cost) -> dict[str, Any]:
    return {
        "per_run": _amount(cost.max_per_run),
        "per_month": _amount(cost.max_per_month),
        "currency": cost.currency,
    }


def _amount(money: Money | None) -> float | None:
    return None if money is None else float(money.amount)


def _trigger(trigger: Trigger) -> dict[str, Any] | None:
    """None for a kind that this version does not run: it is among the document's `gaps`, and the steps refuse it."""
    common = {"name": trigger.name, "enabled": trigger.enabled, "exempt": trigger.exempt, "then": trigger.then}
    match trigger.spec:
        case ScheduleTrigger(cron, timezone):
            return {**common, "kind": "schedule", "cron": cron, "timezone": timezone}
        case NewDataTrigger(min_rows, settle):
            return {**common, "kind": "new_data", "min_rows": min_rows, "settle": settle.total_seconds()}
        case ManualTrigger():
            return {**common, "kind": "manual"}
        case EventTrigger(name, dedupe_by, max_age):
            age = max_age.total_seconds()
            return {**common, "kind": "event", "event": name, "dedupe_by": dedupe_by, "max_age": age}
        case _:
            return None


def _registry(spec: Spec) -> dict[str, Any]:
    return {"model": spec.deployed_name}


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


def plain(value: Any) -> Any:
    """One level of a frozen type as JSON: a dataclass as the map of its fields, a duration as seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"a spec holds no {type(value).__name__}")
