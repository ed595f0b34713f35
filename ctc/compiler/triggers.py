"""The section `triggers` of the wake's document: when a run starts, what holds it back, and who says yes to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ctc.compiler import batch, training, watching
from ctc.language.spec import (
    Approval,
    DriftTrigger,
    EventTrigger,
    ManualTrigger,
    NewDataTrigger,
    PerformanceTrigger,
    ScheduleTrigger,
    Spec,
    Trigger,
)

if TYPE_CHECKING:
    from ctc.language.spec.serving import Cost, LiveLimit, Rollout, RolloutStep, Serving
    from ctc.language.units import Money


def section(spec: Spec) -> dict[str, Any]:
    policy, promotion, cost = spec.trigger_policy, spec.promotion, spec.cost
    return {
        "mode": spec.mode,
        "model": spec.deployed_name,
        "keep": promotion.keep,
        "triggers": [_trigger(trigger, spec) for trigger in spec.triggers],
        "cooldown": policy.cooldown.total_seconds(),
        "max_runs": None
        if policy.max_runs is None
        else {"count": policy.max_runs.count, "per": policy.max_runs.per.total_seconds()},
        "rearm": {"new_rows": policy.rearm.new_rows, "backoff": policy.rearm.backoff.total_seconds()},
        "lease": lease_seconds(spec),
        "resume_rows": policy.resume,
        "staleness": None if policy.staleness is None else policy.staleness.total_seconds(),
        "on_deploy": spec.retraining.on_deploy,
        "training": training.digest(spec),
        "approval": None if promotion.approval is None else _approval(promotion.approval),
        "first": None if promotion.first is None else _approval(promotion.first),
        "rollout": None if spec.rollout is None else _rollout(spec, spec.rollout),
        "budget": None
        if cost is None or caps(cost) is None
        else {
            "per_run": _amount(cost.max_per_run),
            "per_month": _amount(cost.max_per_month),
            "currency": cost.currency,
        },
        "remember": 0.0 if promotion.false_promotions is None else promotion.false_promotions.per.total_seconds(),
        **batch.schedules(spec),
    }


def _approval(approval: Approval) -> dict[str, Any]:
    return {
        "any_of": list(approval.any_of),
        "all_of": list(approval.all_of),
        "expires": approval.expires.total_seconds(),
    }


def _rollout(spec: Spec, rollout: Rollout) -> dict[str, Any]:
    online = [serving.name for serving in spec.serving if serving.online is not None]
    name = rollout.serving or (online[0] if online else "")
    return {
        "serving": name,
        "server": next((_server(serving) for serving in spec.serving if serving.name == name), None),
        "steps": [_rollout_step(step) for step in rollout.steps],
        "limits": [_limit(limit) for limit in rollout.limits],
        "keep_previous": rollout.keep_previous.total_seconds(),
    }


def _server(serving: Serving) -> dict[str, Any] | None:
    """What starts a version's server, and how it is asked. Batch jobs have none."""
    online = serving.online
    if online is None:
        return None
    return {
        "argv": list(online.argv),
        "port": online.port,
        "health": online.health,
        "route": online.route,
        "instances": {"min": serving.instances.min, "max": serving.instances.max},
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


def caps(cost: Cost | None) -> dict[str, Any] | None:
    """What `cost` decides; None where it decides nothing: durations and sizes are only for estimates."""
    if cost is None or (cost.max_per_run, cost.max_per_month) == (None, None):
        return None
    return {name: getattr(cost, name) for name in ("currency", "max_per_run", "max_per_month")}


def _amount(money: Money | None) -> float | None:
    return None if money is None else float(money.amount)


def _trigger(trigger: Trigger, spec: Spec) -> dict[str, Any]:
    common = {"name": trigger.name, "enabled": trigger.enabled, "exempt": trigger.exempt, "then": trigger.then}
    match trigger.spec:
        case ScheduleTrigger(cron, timezone):
            return {**common, "kind": "schedule", "cron": cron, "timezone": timezone}
        case NewDataTrigger(min_rows, settle):
            wanted = {"min_rows": min_rows, "settle": settle.total_seconds()}
            return {**common, "kind": "new_data", **wanted}
        case ManualTrigger():
            return {**common, "kind": "manual"}
        case EventTrigger(name, dedupe_by, max_age):
            age = max_age.total_seconds()
            about = {"event": name, "dedupe_by": dedupe_by, "max_age": age}
            return {**common, "kind": "event", **about, "wait_for": trigger.wait_for}
        case DriftTrigger() | PerformanceTrigger():
            return {**common, **watching.entry(trigger, spec)}


def crons(spec: Spec) -> tuple[tuple[str, str, str], ...]:
    """(name, cron, IANA zone) of each enabled schedule."""
    return tuple(
        (trigger.name, trigger.spec.cron, trigger.spec.timezone)
        for trigger in spec.triggers
        if trigger.enabled and isinstance(trigger.spec, ScheduleTrigger)
    )


def lease_seconds(spec: Spec) -> float:
    """How long an attempt may hold the lease: every try of the user's commands, and an hour for our own steps."""
    tries = spec.training.retries + 1
    preparing = 0.0 if spec.prepare is None else spec.prepare.timeout.total_seconds()
    return tries * (spec.training.timeout.total_seconds() * 3 + preparing) + 3600.0


def meaning(value: Any) -> Any:
    """One level of a frozen type as JSON: a dataclass as the map of its fields, a duration as seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"a spec holds no {type(value).__name__}")
