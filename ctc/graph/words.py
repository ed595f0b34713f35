"""The parts of a spec in a few words each, as they stand in a box."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from ctc.language.checks.time import written
from ctc.language.spec import (
    DriftTrigger,
    EventTrigger,
    NewDataTrigger,
    PerformanceTrigger,
    ScheduleTrigger,
    Spec,
    Trigger,
    TriggerPolicy,
)
from ctc.language.spec.promotion import Approval, Gate
from ctc.language.spec.serving import LiveLimit, RolloutStep

NOTHING = timedelta(0)


def trigger(found: Trigger) -> Iterator[str]:
    """What it waits for, and what it does if that is not a retraining."""
    match found.spec:
        case ScheduleTrigger(cron, timezone):
            yield f"schedule {cron}"
            yield timezone
        case NewDataTrigger(rows, settle):
            yield f"{rows:,} new rows"
            if settle:
                yield f"and none for {written(settle)}"
        case PerformanceTrigger():
            yield f"{found.spec.metric} {_range(found.spec)}"
            yield f"over {written(found.spec.window)} of live rows"
        case DriftTrigger():
            columns = found.spec.columns
            yield f"{found.spec.method} of {columns[0] if len(columns) == 1 else f'{len(columns)} columns'}"
            yield f"over {written(found.spec.window)}"
        case EventTrigger(name):
            yield f"event {name}"
        case _:
            yield "when somebody asks"
    if found.sustained:
        yield f"for {written(found.sustained)}"
    if found.then != "retrain":
        yield f"then: {found.then}"
    if not found.enabled:
        yield "not enabled"


def _range(found: PerformanceTrigger) -> str:
    if found.drop is not None:
        return f"drops by {found.drop:g}"
    bounds = [f"< {found.min:g}"] if found.min is not None else []
    return " or ".join([*bounds, *([f"> {found.max:g}"] if found.max is not None else [])])


def holds(policy: TriggerPolicy) -> Iterator[str]:
    """What keeps a trigger that fires from starting a run."""
    if policy.cooldown:
        yield f"at least {written(policy.cooldown)} apart"
    if policy.max_runs is not None:
        yield f"at most {policy.max_runs.count} in {written(policy.max_runs.per)}"
    if policy.rearm.new_rows or policy.rearm.backoff:
        waits = [f"{policy.rearm.new_rows:,} new rows"] if policy.rearm.new_rows else []
        waits += [written(policy.rearm.backoff)] if policy.rearm.backoff else []
        yield f"after an attempt in vain: {' and '.join(waits)}"
    if policy.staleness is not None:
        yield f"alarm when the champion is {written(policy.staleness)} old"


def gate(found: Gate) -> str:
    """What a version must prove, after the gate's name."""
    return f"{found.name}: {_proof(found)}"


def _proof(found: Gate) -> str:
    metric = f"{found.metric or ''}{f' by {found.by}' if found.by else ''}"
    match found.kind:
        case "range":
            bounds = [f"≥ {found.min:g}"] if found.min is not None else []
            bounds += [f"≤ {found.max:g}"] if found.max is not None else []
            return f"{metric} {' and '.join(bounds)}"
        case "not_worse" | "forgetting":
            margin = "" if found.margin is None else f" by {_share(found.margin, relative=found.relative)}"
            held = f" on {found.source}" if found.kind == "forgetting" and found.source else ""
            return f"{metric} not worse{margin}{held}"
        case "min_gain":
            gain = "" if not found.value else f" by {_share(found.value, relative=found.relative)}"
            return f"{metric} better{gain}"
        case "parity":
            return f"worst slice of {metric} ≥ {found.min_ratio:g} of the best"
        case "latency":
            limits = [("p50", found.p50), ("p99", found.p99)]
            return " and ".join(f"{name} ≤ {value * 1000:g} ms" for name, value in limits if value is not None)
        case "model_size":
            return f"model ≤ {(found.max or 0) / 2**20:,.0f} MiB"
        case _:
            return found.that or found.kind


def _share(value: float, *, relative: bool) -> str:
    return f"{value:.3g}" if not relative else f"{value * 100:.3g}%"


def approval(found: Approval) -> Iterator[str]:
    """Who says yes, and until when."""
    yield f"any of {', '.join(found.any_of)}" if found.any_of else f"all of {', '.join(found.all_of)}"
    yield f"silence is a no after {written(found.expires)}"


def rollout_step(found: RolloutStep) -> tuple[str, tuple[str, ...]]:
    """Title and details of one step of a rollout."""
    limits = tuple(live_limit(item) for item in found.gates)
    lasts = (f"for {written(found.duration)}",) if found.duration else ()
    if found.smoke is not None:
        return "smoke test", (f"one request is answered {found.smoke.status}", *lasts, *limits)
    if found.approval is not None:
        return "approval", (*approval(found.approval), *limits)
    if found.mirror is not None:
        return f"mirror {found.mirror:.0%} of the requests", (*lasts, *limits)
    return f"answer {found.traffic or 0:.0%} of the requests", (*lasts, *limits)


def live_limit(found: LiveLimit) -> str:
    """What must hold of a model that answers."""
    kind = found.kind.replace("_", " ")
    said = [f"{key} {_plain(value, found.kind)}" for key, value in found.arguments.items() if value is not None]
    return f"{found.name}: {kind}, {', '.join(said)}" if said else f"{found.name}: {kind}"


def _plain(value: object, kind: str) -> str:
    if isinstance(value, timedelta):
        return written(value)
    if isinstance(value, (tuple, list)):
        return " and ".join(map(str, value))
    if kind == "latency" and isinstance(value, float):
        return f"{value * 1000:g} ms"
    return f"{value:g}" if isinstance(value, float) else str(value)


def learnt(spec: Spec) -> str:
    """From which rows a new model learns."""
    plan = spec.retraining
    how = plan.strategy.replace("_", " ")
    if plan.window is not None:
        return f"{how}: the last {written(plan.window)}"
    return f"{how}: since {plan.since}" if plan.since is not None else how


def held_out(spec: Spec) -> str:
    """Which rows judge it."""
    holdout = spec.retraining.holdout
    if holdout.time is not None:
        return f"judged on the last {written(holdout.time)}"
    if holdout.hash is not None:
        return f"judged on {holdout.hash.share:.0%} of the keys"
    return f"judged on {holdout.source or (holdout.column.name if holdout.column is not None else '')}"
