"""Spec to IR: the two pipelines, written once for every target."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import Any

from ctc.compiler.bundle import canonical
from ctc.compiler.document import document, fill_hyperparameters
from ctc.compiler.ir import (
    Branch,
    Parameter,
    Pipeline,
    Ref,
    Resources,
    Runs,
    Spot,
    Step,
    System,
    Wakes,
)
from ctc.language.spec import NewDataTrigger, ScheduleTrigger, Spec

ABSENT = "absent"
"""Key, below the root, of the folder that stands for a champion's model where there is none."""


def digest(spec: Spec) -> str:
    """sha256 of what the spec means in its environment, addresses left out: the same on every target."""
    meaning = _plain(spec)
    del meaning["targets"]
    return hashlib.sha256(canonical(meaning, _plain)).hexdigest()


def lower(spec: Spec, target: str) -> System:
    """The system that `target` emits."""
    settings = spec.targets[target]
    root = f"{bucket_uri(str(settings['bucket']))}/{spec.model_name}/{spec.environment}/{target}"
    build = _Builder(spec, target, root, digest(spec))
    return System(
        name=spec.deployed_name,
        environment=spec.environment,
        target=target,
        spec_digest=build.spec_digest,
        root=root,
        wake=build.wake(),
        train=build.train(),
        wakes=Wakes(spec.trigger_policy.wake_every, _crons(spec)),
        settings=settings,
        features=_features(spec),
        gaps=spec.gaps_on(target),
    )


def bucket_uri(bucket: str) -> str:
    """A bucket's URI; a bare name is one of the S3 protocol, which Kubeflow's object store speaks too."""
    return bucket.rstrip("/") if "://" in bucket else f"s3://{bucket}"


class _Builder:
    def __init__(self, spec: Spec, target: str, root: str, spec_digest: str) -> None:
        self.spec = spec
        self.target = target
        self.root = root
        self.spec_digest = spec_digest

    def wake(self) -> Pipeline:
        step = self.ours("wake", origin="triggers", parameters=("instant", "manual"))
        return Pipeline(
            name=f"{self.spec.deployed_name}-wake",
            kind="wake",
            parameters=(Parameter("instant", ""), Parameter("manual", "")),
            body=(step,),
            on_exit=None,
            origin="triggers",
        )

    def train(self) -> Pipeline:
        attempt = ("instant", "attempt")
        snapshot = self.ours(
            "snapshot",
            origin="sources",
            outputs=("train", "valid", "rows", "holdout", *self._set_aside()),
            flags=("go",),
            parameters=attempt,
        )
        data = tuple((name, Ref("snapshot", name)) for name in ("train", "valid", "holdout"))
        validate = self.ours("validate", origin="validation", inputs=data, flags=("go",), parameters=attempt)
        evaluate = self.ours(
            "evaluate",
            origin="evaluation",
            inputs=(
                ("holdout", Ref("snapshot", "holdout")),
                ("contender", Ref("predict-contender", "predictions")),
                ("champion", Ref("predict-champion", "predictions")),
            ),
            outputs=("evaluation", "scores"),
            parameters=attempt,
        )
        decide = self.ours(
            "decide",
            origin="promotion",
            inputs=(("evaluation", Ref("evaluate", "evaluation")),),
            outputs=("verdict",),
            flags=("promote",),
            parameters=attempt,
        )
        register = self.ours(
            "register",
            origin="promotion.registry",
            inputs=(
                ("model", Ref("train", "model")),
                ("evaluation", Ref("evaluate", "evaluation")),
                ("verdict", Ref("decide", "verdict")),
            ),
            parameters=attempt,
        )
        judged = (
            self._train_step(),
            self._predict_contender(),
            self._predict_champion(),
            evaluate,
            decide,
            Branch(Ref("decide", "promote"), (register,), origin="promotion.gates"),
        )
        return Pipeline(
            name=f"{self.spec.deployed_name}-train",
            kind="train",
            parameters=(
                Parameter("instant"),
                Parameter("attempt"),
                Parameter("request"),
                Parameter("champion_model", f"{self.root}/{ABSENT}"),
                Parameter("champion_image", self.spec.training.image),
            ),
            body=(snapshot, validate, Branch(Ref("validate", "go"), judged, origin="validation")),
            on_exit=self.ours("record", origin="", parameters=attempt),
            origin="training",
        )

    def ours(self, name: str, *, origin: str, **fields: Any) -> Step:
        """A step that runs in our image, with its document."""
        return Step(
            name=name,
            runs=Runs.RUNTIME,
            image=self.spec.runtime_image,
            origin=origin,
            document=document(self.spec, name, target=self.target, root=self.root, spec_digest=self.spec_digest),
            **fields,
        )

    def _set_aside(self) -> tuple[str, ...]:
        """The output for rows that a check sets aside, where one may."""
        return ("quarantine",) if any(check.on_fail == "quarantine" for check in self.spec.checks) else ()

    def _train_step(self) -> Step:
        training = self.spec.training
        return self._users(
            "train",
            origin="training.argv",
            argv=training.argv,
            inputs=(("train", Ref("snapshot", "train")), ("valid", Ref("snapshot", "valid"))),
            outputs=("model",),
            spot=None if training.spot is None else Spot(training.spot.checkpoint, training.spot.max_wait),
        )

    def _predict_contender(self) -> Step:
        return self._users(
            "predict-contender",
            origin="training.predict",
            argv=self.spec.training.predict,
            inputs=(("model", Ref("train", "model")), ("rows", Ref("snapshot", "rows"))),
            outputs=("predictions",),
        )

    def _predict_champion(self) -> Step:
        return self._users(
            "predict-champion",
            origin="training.predict",
            runs=Runs.CHAMPION,
            inputs=(("rows", Ref("snapshot", "rows")),),
            imports=(("model", "champion_model"), ("request", "request")),
            outputs=("predictions",),
            parameters=("champion_image",),
        )

    def _users(
        self, name: str, *, origin: str, runs: Runs = Runs.USER, argv: tuple[str, ...] = (), **fields: Any
    ) -> Step:
        training = self.spec.training
        return Step(
            name=name,
            runs=runs,
            image=training.image,
            origin=origin,
            argv=fill_hyperparameters(argv, training.hyperparameters),
            environment=(
                ("CTC_HYPERPARAMETERS", canonical(dict(training.hyperparameters)).decode()),
                ("CTC_SEED", str(training.seed)),
            ),
            resources=Resources(training.resources.cpu, training.resources.memory, training.resources.disk),
            timeout=training.timeout,
            retries=training.retries,
            **fields,
        )


def _crons(spec: Spec) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (trigger.name, trigger.spec.cron, trigger.spec.timezone)
        for trigger in spec.triggers
        if trigger.enabled and isinstance(trigger.spec, ScheduleTrigger)
    )


def _features(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Every feature that this spec asks of a target, with the place that asks."""
    features = [
        ("wake.every", "trigger_policy.wake_every"),
        ("trigger.manual", "triggers"),
        ("step.timeout", "training.timeout"),
        ("step.resources", "training.resources"),
        ("branch.validation", "validation"),
        ("branch.promotion", "promotion.gates"),
        ("champion.own_image", "training.image"),
        ("record.always", "promotion"),
        ("run.single", "trigger_policy"),
    ]
    for trigger in spec.triggers:
        match trigger.spec:
            case ScheduleTrigger(timezone=timezone):
                features.append(("trigger.schedule", f"triggers.{trigger.name}"))
                if timezone not in ("UTC", "Etc/UTC"):
                    features.append(("trigger.schedule.timezone", f"triggers.{trigger.name}"))
            case NewDataTrigger():
                features.append(("trigger.new_data", f"triggers.{trigger.name}"))
    if spec.training.retries:
        features.append(("step.retries", "training.retries"))
    if spec.training.spot is not None:
        features.append(("step.spot", "training.spot"))
    return tuple(sorted(set(features)))


def _plain(value: Any) -> Any:
    """One level of a frozen type as JSON: a dataclass as the map of its fields, a duration as seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"a spec holds no {type(value).__name__}")
