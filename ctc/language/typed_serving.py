"""The sections of a tree that say how a model is used, to their frozen types. Cannot fail, as `typed.py` cannot."""

from __future__ import annotations

from typing import Any

from ctc.language.spec import Approval, ScheduleTrigger
from ctc.language.spec.serving import (
    Batch,
    Cost,
    Durations,
    Instances,
    LiveLimit,
    Notification,
    Online,
    Rollout,
    RolloutStep,
    Serving,
    Smoke,
)
from ctc.language.typed import Tree, machine, value


def in_use(tree: Tree) -> dict[str, Any]:
    """The fields of `Spec` that these sections give; those that are not there keep their defaults."""
    made: dict[str, Any] = {}
    if "serving" in tree:
        made["serving"] = tuple(_serving(name, entry) for name, entry in tree["serving"].items())
    if "rollout" in tree:
        made["rollout"] = _rollout(tree["rollout"])
    if "cost" in tree:
        made["cost"] = _cost(tree["cost"])
    if "notifications" in tree:
        made["notifications"] = tuple(_notification(name, entry) for name, entry in tree["notifications"].items())
    return made


def _cost(data: Tree) -> Cost:
    made: dict[str, Any] = dict(data)
    if "durations" in data:
        made["durations"] = Durations(**data["durations"])
    return Cost(**made)


def _serving(name: str, data: Tree) -> Serving:
    made: dict[str, Any] = {**data, **machine(data)}
    if "online" in data:
        made["online"] = Online(**data["online"])
    if "batch" in data:
        made["batch"] = Batch(**{**data["batch"], "schedule": ScheduleTrigger(**data["batch"]["schedule"])})
    if "instances" in data:
        made["instances"] = Instances(**data["instances"])
    return Serving(name=name, **made)


def _rollout(data: Tree) -> Rollout:
    made: dict[str, Any] = dict(data)
    made["steps"] = tuple(_rollout_step(step) for step in data["steps"])
    made["limits"] = tuple(_live_limit(name, limit) for name, limit in data.get("limits", {}).items())
    return Rollout(**made)


def _rollout_step(data: Tree) -> RolloutStep:
    made = {"duration" if key == "for" else key: value for key, value in data.items()}
    if "smoke" in data:
        made["smoke"] = Smoke(**data["smoke"])
    if "approval" in data:
        made["approval"] = Approval(**data["approval"])
    made["gates"] = tuple(_live_limit(name, limit) for name, limit in data.get("gates", {}).items())
    return RolloutStep(**made)


def _live_limit(name: str, data: Tree) -> LiveLimit:
    kind: Any
    [(kind, arguments)] = data.items()
    return LiveLimit(name, kind, arguments)


def _notification(name: str, data: Tree) -> Notification:
    kind: Any
    [kind] = data.keys() - {"events"}
    arguments = {key: value(given) for key, given in data[kind].items()}
    return Notification(name, kind, arguments, data["events"])
