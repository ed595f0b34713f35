"""A tree of the right shape to the frozen types. Cannot fail: `shape.py` came before. Defaults: `spec.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.language.based import in_base_units
from ctc.language.shape import schema
from ctc.language.spec import (
    Approval,
    Captured,
    Check,
    ColumnHoldout,
    Columns,
    Csv,
    CsvFormat,
    Distributed,
    DriftTrigger,
    Evaluation,
    EventTrigger,
    Filter,
    Forecast,
    Gate,
    Gpu,
    HashHoldout,
    Holdout,
    Input,
    Join,
    Label,
    ManualTrigger,
    MaxRuns,
    Metric,
    NewDataTrigger,
    Occurrences,
    Over,
    Parquet,
    PerformanceTrigger,
    PredictionColumns,
    Prepare,
    Promotion,
    Ranking,
    Rearm,
    Resources,
    Retraining,
    ScheduleTrigger,
    Score,
    Secret,
    Slice,
    Source,
    Spec,
    Spot,
    Training,
    Trigger,
    TriggerKind,
    TriggerPolicy,
)

Tree = Mapping[str, Any]

HIGHER_IS_BETTER: dict[str, bool | None] = {
    "roc_auc": True,
    "pr_auc": True,
    "log_loss": False,
    "brier": False,
    "accuracy": True,
    "balanced_accuracy": True,
    "f1": True,
    "precision": True,
    "recall": True,
    "precision_at_k": True,
    "recall_at_k": True,
    "precision_at_fpr": True,
    "recall_at_fpr": True,
    "mae": False,
    "rmse": False,
    "mape": False,
    "r2": True,
    "pinball": False,
    "ndcg": True,
    "mean": None,
    "share": None,
}
"""The kinds of metric and their direction; None where the metric itself must say it."""


def spec_from(data: Tree, environment: str, row: str = "", gaps: tuple[str, ...] = ()) -> Spec:
    """The spec of a rendered tree."""
    tree: Any = in_base_units(data, schema(), schema())
    task: Any = tree["task"]
    return Spec(
        name=tree["name"],
        description=tree["description"],
        owner=tree["owner"],
        mode=tree["mode"],
        task=_task_kind(task),
        ranking=Ranking(**task["ranking"]) if "ranking" in task else None,
        forecast=Forecast(**task["forecast"]) if "forecast" in task else None,
        runtime_image=tree["runtime"]["image"],
        shared=tree.get("shared", False),
        data_mode=tree.get("data", {}).get("mode", "files"),
        sources=tuple(_source(name, source) for name, source in tree["sources"].items()),
        label=None if tree["label"] == "none" else Label(**tree["label"]),
        columns=Columns(**tree.get("columns", {})),
        checks=tuple(_check(name, check) for name, check in tree.get("validation", {}).get("checks", {}).items()),
        prepare=_prepare(tree["prepare"]) if "prepare" in tree else None,
        training=_training(tree["training"]),
        retraining=_retraining(tree["retraining"]),
        evaluation=_evaluation(tree["evaluation"]),
        promotion=_promotion(tree["promotion"]),
        triggers=tuple(_trigger(name, trigger) for name, trigger in tree["triggers"].items()),
        trigger_policy=_trigger_policy(tree.get("trigger_policy", {})),
        **_in_use(tree),
        contender_from=tree.get("contender", {}).get("from"),
        targets={
            name: {key: value for key, value in settings.items() if key != "variables"}
            for name, settings in tree.get("targets", {}).items()
        },
        environment=environment,
        row=row,
        gaps=gaps,
    )


def _task_kind(task: Any) -> Any:
    return task if isinstance(task, str) else next(iter(task))


def _source(name: str, data: Tree) -> Source:
    made = {
        "parquet": Parquet,
        "csv": Csv,
        "captured": Captured,
        "join": Join,
        "columns": PredictionColumns,
    }
    fields = {key: made[key](**value) if key in made else value for key, value in data.items() if key != "keep"}
    return Source(name=name, keep=tuple(_kept(key, item) for key, item in data.get("keep", {}).items()), **fields)


def _kept(name: str, data: Tree) -> Filter:
    kind: Any
    [(kind, arguments)] = data.items()
    return Filter(name, kind, arguments)


def _check(name: str, data: Tree) -> Check:
    [kind] = data.keys() - {"source", "over", "on_fail"}
    # Every time in a check is one that its step counts in seconds.
    arguments = {
        key: value.total_seconds() if hasattr(value, "total_seconds") else value for key, value in data[kind].items()
    }
    over: dict[str, Any] = {"over": Over(**data["over"])} if "over" in data else {}
    return Check(name=name, kind=kind, arguments=arguments, **over, **_given(data, "source", "on_fail"))


def _prepare(data: Tree) -> Prepare:
    return Prepare(**{**data, **machine(data)})


def _training(data: Tree) -> Training:
    hyperparameters = data.get("hyperparameters", {})
    seed = hyperparameters.get("seed", 0)
    made: dict[str, Any] = {**data, **machine(data)}
    made["seed"] = data.get("seed", seed if type(seed) is int else 0)
    made["inputs"] = tuple(Input(name, **given) for name, given in data.get("inputs", {}).items())
    made["env"] = {name: value(given) for name, given in data.get("env", {}).items()}
    # Parquet needs no settings, so it is the absence of others.
    form = made.pop("format", "parquet")
    if form != "parquet":
        made["format"] = CsvFormat(**form["csv"])
    for key, kind in (("spot", Spot), ("distributed", Distributed)):
        if key in data:
            made[key] = kind(**data[key])
    return Training(**made)


def value(given: Any) -> Any:
    return Secret(**given) if isinstance(given, Mapping) else given


def machine(data: Tree) -> dict[str, Any]:
    """The `resources` of a section that may have them."""
    if "resources" not in data:
        return {}
    given: dict[str, Any] = dict(data["resources"])
    if "gpu" in given:
        given["gpu"] = Gpu(**given["gpu"])
    if "cpu" in given:
        given["cpu"] = float(given["cpu"])
    return {"resources": Resources(**given)}


def _retraining(data: Tree) -> Retraining:
    holdout = dict(data["holdout"])
    for key, kind in (("hash", HashHoldout), ("column", ColumnHoldout)):
        if key in holdout:
            holdout[key] = kind(**holdout[key])
    return Retraining(**{**data, "holdout": Holdout(**holdout)})


def _evaluation(data: Tree) -> Evaluation:
    score: dict[str, Any] = {"score": Score(**data["score"])} if "score" in data else {}
    return Evaluation(
        metrics=tuple(_metric(name, metric) for name, metric in data["metrics"].items()),
        slices=tuple(Slice(name, **part) for name, part in data.get("slices", {}).items()),
        **score,
        **_given(data, "unit"),
    )


_CUT_AT_A_THRESHOLD = ("accuracy", "balanced_accuracy", "f1", "precision", "recall")


def _metric(name: str, data: Tree) -> Metric:
    [kind] = data.keys() - {"better"}
    arguments = {"threshold": 0.5, **data[kind]} if kind in _CUT_AT_A_THRESHOLD else dict(data[kind])
    known = HIGHER_IS_BETTER[kind]
    by_kind = "neither" if known is None else "higher" if known else "lower"
    return Metric(name, kind, arguments, data.get("better", by_kind))


def _promotion(data: Tree) -> Promotion:
    made: dict[str, Any] = dict(data)
    made["gates"] = tuple(_gate(name, gate) for name, gate in data["gates"].items())
    if "false_promotions" in data:
        made["false_promotions"] = Occurrences(**data["false_promotions"])
    if "approval" in data:
        made["approval"] = Approval(**data["approval"])
    if "first" in data:
        made["first"] = Approval(**data["first"]["approval"])
    made.update(made.pop("registry", {}))
    return Promotion(**made)


def _gate(name: str, data: Tree) -> Gate:
    kind: Any
    [(kind, given)] = data.items()
    fields: dict[str, Any] = {key: float(value) if type(value) is int else value for key, value in given.items()}
    margin = fields.get("margin")
    if isinstance(margin, Mapping):
        fields |= {"margin": margin["relative"], "relative": True}
    return Gate(name=name, kind=kind, **fields)


_TRIGGERS: dict[str, Any] = {
    "schedule": ScheduleTrigger,
    "new_data": NewDataTrigger,
    "performance": PerformanceTrigger,
    "drift": DriftTrigger,
    "event": EventTrigger,
    "manual": ManualTrigger,
}


def _trigger(name: str, data: Tree) -> Trigger:
    [kind] = data.keys() & _TRIGGERS.keys()
    given = dict(data[kind])
    if "false_alarms" in given:
        given["false_alarms"] = Occurrences(**given["false_alarms"])
    made: TriggerKind = _TRIGGERS[kind](**given)
    wait = data["wait_for"]["mature_rows_after_change"] if "wait_for" in data else None
    return Trigger(name, made, wait_for=wait, **_given(data, "enabled", "exempt", "then", "sustained"))


def _trigger_policy(data: Tree) -> TriggerPolicy:
    made: dict[str, Any] = dict(data)
    if "max_runs" in data:
        made["max_runs"] = MaxRuns(**data["max_runs"])
    if "rearm" in data:
        made["rearm"] = Rearm(**data["rearm"])
    if "resume" in data:
        made["resume"] = data["resume"]["new_rows"]
    if "staleness" in data:
        made["staleness"] = data["staleness"]["max_age"]
    return TriggerPolicy(**made)


def _in_use(tree: Tree) -> dict[str, Any]:
    """How the model is used, for the specs that say so: their types are imported for them only."""
    if not tree.keys() & {"serving", "rollout", "cost", "notifications"}:
        return {}
    from ctc.language.typed_serving import in_use

    return in_use(tree)


def _given(data: Tree, *keys: str) -> dict[str, Any]:
    """Only what is there: for the rest the types have their defaults."""
    return {key: data[key] for key in keys if key in data}
