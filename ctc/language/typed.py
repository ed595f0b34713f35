"""A tree of the right shape to the frozen types. Cannot fail: `shape.py` came before. Defaults: `spec.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.language import units
from ctc.language.spec import (
    Check,
    Columns,
    Evaluation,
    Gate,
    Holdout,
    Join,
    Label,
    ManualTrigger,
    MaxRuns,
    Metric,
    NewDataTrigger,
    Parquet,
    Promotion,
    Rearm,
    Resources,
    Retraining,
    ScheduleTrigger,
    Slice,
    Source,
    Spec,
    Spot,
    Training,
    Trigger,
    TriggerPolicy,
)

Tree = Mapping[str, Any]

HIGHER_IS_BETTER: dict[str, bool] = {
    "roc_auc": True,
    "pr_auc": True,
    "log_loss": False,
    "brier": False,
    "accuracy": True,
    "mae": False,
    "rmse": False,
}
"""The kinds of metric and their direction."""

_SHARES = ("tolerate", "confidence", "threshold")


def spec_from(data: Tree, environment: str) -> Spec:
    """The spec of a rendered tree."""
    return Spec(
        name=data["name"],
        description=data["description"],
        owner=data["owner"],
        mode=data["mode"],
        task=data["task"],
        runtime_image=data["runtime"]["image"],
        sources=tuple(_source(name, source) for name, source in data["sources"].items()),
        label=_label(data["label"]),
        columns=Columns(**{key: tuple(names) for key, names in data.get("columns", {}).items()}),
        checks=tuple(_check(name, check) for name, check in data.get("validation", {}).get("checks", {}).items()),
        training=_training(data["training"]),
        retraining=_retraining(data["retraining"]),
        evaluation=_evaluation(data["evaluation"]),
        promotion=_promotion(data["promotion"]),
        triggers=tuple(_trigger(name, trigger) for name, trigger in data["triggers"].items()),
        trigger_policy=_trigger_policy(data.get("trigger_policy", {})),
        targets={
            name: {key: value for key, value in settings.items() if key != "variables"}
            for name, settings in data.get("targets", {}).items()
        },
        environment=environment,
    )


def _source(name: str, data: Tree) -> Source:
    join = data.get("join")
    return Source(
        name=name,
        role=data["role"],
        parquet=Parquet(data["parquet"]["path"]),
        event_time=data.get("event_time"),
        known_at=data.get("known_at"),
        timezone=data.get("timezone"),
        key=tuple(data.get("key", ())),
        join=None if join is None else Join(join["to"], tuple(join["key"])),
    )


def _label(data: Tree) -> Label:
    return Label(data["source"], data["column"], units.duration(data["known_after"]), data["absent"])


def _check(name: str, data: Tree) -> Check:
    kind: Any
    [kind] = data.keys() - {"source", "on_fail"}
    arguments: dict[str, Any] = {}
    for key, value in data[kind].items():
        if key == "max_age":
            arguments[key] = units.duration(value).total_seconds()
        elif key in _SHARES or (kind, key) == ("null_ratio", "max"):
            arguments[key] = units.share(value)
        elif kind == "row_count":
            arguments[key] = int(value)
        else:
            arguments[key] = value
    return Check(name=name, kind=kind, arguments=arguments, **_given(data, "source", "on_fail"))


def _training(data: Tree) -> Training:
    hyperparameters = data.get("hyperparameters", {})
    seed = hyperparameters.get("seed", 0)
    spot = data.get("spot")
    return Training(
        code=data["code"],
        image=data["image"],
        argv=tuple(data["argv"]),
        predict=tuple(data["predict"]),
        hyperparameters=dict(hyperparameters),
        seed=int(data.get("seed", seed if type(seed) is int else 0)),
        resources=_resources(data.get("resources", {})),
        spot=None if spot is None else Spot(units.duration(spot["checkpoint"]), units.duration(spot["max_wait"])),
        **_durations(data, "timeout"),
        **_integers(data, "retries"),
    )


def _resources(data: Tree) -> Resources:
    given: dict[str, Any] = {key: units.size(data[key]) for key in ("memory", "disk") if key in data}
    if "cpu" in data:
        given["cpu"] = float(data["cpu"])
    return Resources(**given)


def _retraining(data: Tree) -> Retraining:
    holdout = data["holdout"]
    return Retraining(
        strategy=data["strategy"],
        window=units.duration(data["window"]) if "window" in data else None,
        since=data.get("since"),
        holdout=Holdout(units.duration(holdout["time"]), **_integers(holdout, "min_rows", "min_positives")),
        validation_share=units.share(data.get("validation_share", 0.0)),
        **_durations(data, "gap"),
        **_integers(data, "min_rows"),
    )


def _evaluation(data: Tree) -> Evaluation:
    return Evaluation(
        metrics=tuple(_metric(name, metric) for name, metric in data["metrics"].items()),
        slices=tuple(
            Slice(name, part["column"], **_integers(part, "min_rows")) for name, part in data.get("slices", {}).items()
        ),
    )


def _metric(name: str, data: Tree) -> Metric:
    [(kind, given)] = data.items()
    arguments = {"threshold": units.share(given.get("threshold", 0.5))} if kind == "accuracy" else {}
    return Metric(name, kind, arguments, "higher" if HIGHER_IS_BETTER[kind] else "lower")


def _promotion(data: Tree) -> Promotion:
    return Promotion(
        gates=tuple(_gate(name, gate) for name, gate in data["gates"].items()),
        **_given(data, "prefer", "if_not_evaluable"),
        **_integers(data.get("registry", {}), "keep"),
    )


def _gate(name: str, data: Tree) -> Gate:
    kind: Any
    [(kind, given)] = data.items()
    numbers: dict[str, Any] = {key: float(given[key]) for key in ("min", "max", "margin", "value") if key in given}
    shares: dict[str, Any] = {"confidence": units.share(given["confidence"])} if "confidence" in given else {}
    return Gate(name=name, kind=kind, metric=given["metric"], **numbers, **shares)


def _trigger(name: str, data: Tree) -> Trigger:
    [kind] = data.keys() - {"enabled", "exempt"}
    given = data[kind]
    made: ScheduleTrigger | NewDataTrigger | ManualTrigger
    if kind == "schedule":
        made = ScheduleTrigger(given["cron"], given["timezone"])
    elif kind == "new_data":
        made = NewDataTrigger(int(given["min_rows"]), **_durations(given, "settle"))
    else:
        made = ManualTrigger()
    return Trigger(name, made, **_given(data, "enabled", "exempt"))


def _trigger_policy(data: Tree) -> TriggerPolicy:
    max_runs, rearm = data.get("max_runs"), data.get("rearm", {})
    return TriggerPolicy(
        max_runs=None if max_runs is None else MaxRuns(int(max_runs["count"]), units.duration(max_runs["per"])),
        rearm=Rearm(**_integers(rearm, "new_rows"), **_durations(rearm, "backoff")),
        **_durations(data, "wake_every", "cooldown"),
    )


def _given(data: Tree, *keys: str) -> dict[str, Any]:
    """Only what is there: for the rest the types have their defaults."""
    return {key: data[key] for key in keys if key in data}


def _durations(data: Tree, *keys: str) -> dict[str, Any]:
    return {key: units.duration(data[key]) for key in keys if key in data}


def _integers(data: Tree, *keys: str) -> dict[str, Any]:
    # The schema takes 2.0 for a whole number, and it is one.
    return {key: int(data[key]) for key in keys if key in data}
